"""What the README shows works as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from safetensors import safe_open
from tiny_models import tiny_llama, tokens
from tiny_study import RESULTS

from benchmarks.cli import app

ROOT = Path(__file__).parents[1]
README, USAGE, OWN = ((ROOT / page).read_text() for page in ("README.md", "docs/usage.md", "docs/own_data.md"))
COMMANDS = [line.partition("#")[0] for line in (README + USAGE + OWN).splitlines() if line.startswith("mtl-lora ")]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *RESULTS.glob("**/README.md")]


def test_the_training_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda _: tiny_llama())
    loader = [({"input_ids": tokens(seed=s), "labels": tokens(seed=s)}, torch.tensor([0, 1, 0, 1, 1, 0])) for s in range(3)]
    names = {"loader": loader}
    exec(code, names)
    assert names["model"].merged == "dialogue" and names["loss"].isfinite()
    with safe_open(tmp_path / "adapters.safetensors", "pt") as file:
        assert set(file.keys()) == set(names["model"].adapter_parameters())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_the_command_line_knows(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    typer.main.get_command(app).commands[name].make_context(name, arguments)


def test_what_is_said_of_results_is_what_the_report_says() -> None:
    report = RESULTS / "report"
    made = {line for path in (*report.glob("tables/*.md"), report / "index.md") for line in path.read_text().splitlines()}
    own, pages = README.partition("## Results")[2].partition("\n## ")[0], (RESULTS / "README.md").read_text()
    rows = [line for line in (own + pages).splitlines() if line.startswith("|")]
    claims = [line for line in own.splitlines() if line.startswith("- ")]
    assert len(rows) > 30 and len(claims) > 2 and [line for line in rows + claims if line not in made] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_the_commands_were_found() -> None:
    assert len(COMMANDS) >= 6

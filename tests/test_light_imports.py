"""Reading results and asking for help load no training stack, and reach for no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import RESULTS

from baselines.references import LoRA  # noqa: F401  (registers the methods)
from benchmarks.answering import SUMMARIES
from benchmarks.answering.registry import ANSWER_MODES
from benchmarks.experiment.methods import FIRST, LAST, REFERENCES
from mtl_lora import METHODS

HEAVY = {"torch", "transformers", "datasets", "accelerate"}
PROGRAM = """
import json, socket, sys

def refuse(*_):
    raise OSError("this needs a network")

socket.socket.connect = socket.getaddrinfo = refuse
from benchmarks.cli import app

app(json.loads(sys.argv[1]), standalone_mode=False)
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded_by(*arguments: str | Path) -> set[str]:
    """The modules that a command loads, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(map(str, arguments)))]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return set(json.loads(outcome.stdout.splitlines()[-1]))


def test_help_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("--help")
    assert not HEAVY & loaded_by("run", "--help")


def test_a_report_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for path in (RESULTS / "quick" / "runs").glob("*.json"):
        config = json.loads(path.read_text())["config"]
        if (config["conflict"], config["seed"]) == (1.0, 0) and config["budget"] in (0, 93_000):
            for part in (path, path.with_suffix(".predictions.parquet")):
                shutil.copy(part, tmp_path / "runs")
    assert not HEAVY & loaded_by("report", "--results", tmp_path)
    assert list((tmp_path / "report" / "figures").glob("samples-quick-*.png"))


def test_what_is_known_without_the_training_stack_is_what_there_is() -> None:
    assert {name for name, method in METHODS.items() if method.reference} == set(REFERENCES)
    assert {*FIRST, *LAST} <= set(METHODS)
    assert {name: mode.summary for name, mode in ANSWER_MODES.items()} == SUMMARIES

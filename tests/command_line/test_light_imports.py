"""Reading results and asking for help load no training stack, and reach for no network."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_study import RESULTS

from baselines.references import LoRA  # noqa: F401  (registers the methods)
from benchmarks.answering.registry import ANSWER_MODES
from benchmarks.experiment import catalogue
from benchmarks.experiment.methods import PAPER, REFERENCES
from benchmarks.suites import all_suites
from benchmarks.suites.credits import credit_of
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
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return set(json.loads(outcome.stdout.splitlines()[-1]))


def test_help_and_list_load_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("--help")
    assert not HEAVY & loaded_by("run", "--help")
    assert not HEAVY & loaded_by("list")


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
    assert {*PAPER} <= set(METHODS)
    for listed, registered in ((catalogue.methods(), METHODS), (catalogue.answer_modes(), ANSWER_MODES)):
        assert {name: kind.summary for name, kind in registered.items()} == {
            name: own.summary for name, own in listed.items()
        }
        for name, kind in registered.items():
            settings = {f.name: f.default for f in dataclasses.fields(kind) if f.name not in catalogue.SHARED}
            assert list(listed[name].settings.items()) == list(settings.items())


def test_every_data_set_has_a_licence_and_a_citation() -> None:
    assert not [task.name for suite in all_suites().values() for task in suite.tasks if not credit_of(task)]

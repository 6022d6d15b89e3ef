"""The two stages of protocol tuned as they are driven, with made-up scores in place of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_trials import Simulated

from benchmarks.engines.tuned import run_tuned
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore

FEW = {"tasks": "sense-north,sense-south", "max_train": 32, "max_eval": 12, "protocol": "tuned"}
Score = Callable[[RunConfig], float | None]


def study(**options: object) -> Study:
    [found] = studies(StudyOptions("quick", **(FEW | {"methods": "lora,dora", "seeds": "0,1"} | options)))
    return found


def simulated(folder: Path, score: Score, **options: object) -> Simulated:
    """The runs that a command makes whose trials score what ``score`` says."""
    runs = Simulated(RunStore(folder), score)
    assert run_tuned([study(**options)], runs.store, runs)
    return runs


def stages(runs: Simulated) -> tuple[list[RunConfig], list[RunConfig]]:
    """Trials, and report runs."""
    return [r for r in runs.made if r.stage == "trial"], [r for r in runs.made if r.stage is None]


def top_at(rate: float) -> Score:
    """Scores that fall on either side of a rate, by decades."""
    return lambda run: 0.9 - 0.1 * abs(math.log10(run.recipe.learning_rate / rate)) - 0.001 * (run.seed % 2)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_every_run_is_made_once_a_command_however_often_the_grid_grows(again: bool, tmp_path: Path) -> None:
    grid = {"rates": "1e-3,2e-3", "tuning_seeds": "100,101"}
    runs = simulated(tmp_path, top_at(6.3e-3), **grid)
    if again:  # what there are records of already is handed out all the same
        runs.made.clear()
        assert run_tuned([study(**grid)], runs.store, runs)
    trials, report = stages(runs)
    assert {r.recipe.learning_rate for r in trials} == {1e-3, 2e-3, 3.6e-3, 6.3e-3, 1.1e-2, 2e-2}
    assert {r.recipe.learning_rate for r in report} == {6.3e-3}
    assert set(Counter(r.id for r in runs.made).values()) == {1}
    assert Counter(r.method.label for r in trials) == {"lora": 12, "dora": 12}

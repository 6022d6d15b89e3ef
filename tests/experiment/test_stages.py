"""The two stages of protocol tuned as they are driven, with made-up scores in place of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_trials import Simulated

from benchmarks.engines.base import Job
from benchmarks.engines.plan import plan
from benchmarks.engines.tuned import known_runs, run_tuned
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.experiment.trials import Trials
from benchmarks.experiment.tuning import HALVED, verify
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


def rounds(trials: list[RunConfig], label: str) -> dict[int, list[float]]:
    """The rates that an arm tried with each seed."""
    tried: dict[int, list[float]] = {}
    for run in trials:
        if run.method.label == label:
            tried.setdefault(run.seed, []).append(run.recipe.learning_rate)
    return tried


def test_halving_tries_the_better_half_with_each_further_seed(tmp_path: Path) -> None:
    """Of 7 rates 4 and then 2, those nearest to the best one; full fine-tuning's are ten times lower."""
    tops = {"lora": 2.1e-3, "full": 2.1e-4}
    runs = simulated(tmp_path, lambda run: top_at(tops[run.method.label])(run), methods="lora,full", trials_budget=13)
    trials, report = stages(runs)
    for label, nearest in (("lora", [1.1e-3, 2e-3, 3.6e-3, 6.3e-3]), ("full", [1.1e-4, 2e-4, 3.6e-4, 6.3e-4])):
        tried = rounds(trials, label)
        assert (len(tried[100]), tried[101], tried[102]) == (7, nearest, nearest[1:3])
    assert {r.protocol for r in runs.made} == {HALVED}
    assert {(r.method.label, r.recipe.learning_rate) for r in report} == {("lora", 2e-3), ("full", 2e-4)}
    for run in report:
        record = runs.store.find(run.id)
        assert record is not None and run.method.choice is not None and run.method.choice.budget == 13
        verify(record, runs.store.find)


def test_a_budget_of_trials_is_never_exceeded_and_spent_alike_by_every_arm(tmp_path: Path) -> None:
    """The grid grows where there are trials left for that, before it is halved; a last round has as many as are left."""
    for budget, counts in ((2, [2]), (4, [4]), (5, [4]), (6, [6]), (8, [6, 2]), (12, [6, 3, 2])):
        runs = simulated(tmp_path / str(budget), top_at(6.3e-3), rates="1e-3,2e-3", trials_budget=budget)
        for label in ("lora", "dora"):
            assert [len(rates) for rates in rounds(stages(runs)[0], label).values()] == counts


def test_a_rate_that_diverges_is_dropped_first_and_never_chosen(tmp_path: Path) -> None:
    def score(run: RunConfig) -> float | None:
        return None if run.recipe.learning_rate > 1e-3 else top_at(2e-3)(run)

    runs = simulated(tmp_path, score, rates="3.6e-4,6.3e-4,1.1e-3,2e-3", trials_budget=6)
    trials, report = stages(runs)
    assert rounds(trials, "lora") == {100: [3.6e-4, 6.3e-4, 1.1e-3, 2e-3], 101: [3.6e-4, 6.3e-4]}
    assert {r.recipe.learning_rate for r in report} == {6.3e-4}


def test_plan_and_status_count_by_halving(tmp_path: Path) -> None:
    halved = study(trials_budget=13)
    runs = Simulated(RunStore(tmp_path), top_at(2e-3))
    told = plan([halved], runs.store)
    assert "seeds by halving, at most 13 trials each: 7 with seed 100, 4 with seed 101, 2 with seed 102" in told
    assert "0/13" in told and "30 of 30 runs to do" in told
    assert len(known_runs([halved], runs.store)) == 2 * 7
    runs([Job(run, halved) for run in Trials.of(halved, runs.store).in_order()])
    assert len(known_runs([halved], runs.store)) == 2 * (7 + 4)
    assert "7/13" in plan([halved], runs.store)

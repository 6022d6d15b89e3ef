"""The two stages of protocol tuned as they are driven, with made-up scores in place of training."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_trials import Simulated

from benchmarks.engines.base import Job
from benchmarks.engines.plan import plan, text
from benchmarks.engines.tuned import known_runs, run_tuned
from benchmarks.experiment.choosing import KNOB, verify
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.experiment.trials import Trials
from benchmarks.experiment.tuning import HALVED
from benchmarks.records.config import Candidate, RunConfig
from benchmarks.records.store import RunStore
from mtl_lora import InvalidInput

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
    told = text(plan([halved], runs.store), halved)
    assert "seeds by halving, at most 13 trials each: 7 with seed 100, 4 with seed 101, 2 with seed 102" in told
    assert "0/13" in told and "30 of 30 runs to do" in told
    assert len(known_runs([halved], runs.store)) == 2 * 7
    runs([Job(run, halved) for run in Trials.of(halved, runs.store).in_order()])
    assert len(known_runs([halved], runs.store)) == 2 * (7 + 4)
    assert "7/13" in text(plan([halved], runs.store), halved)


KNOBS = ["lora:alpha=8,32", "mtl-lora:up_projections=2,4"]


def test_a_knob_is_tuned_with_the_rate_and_by_as_many_trials_for_every_method(tmp_path: Path) -> None:
    """MTL-LoRA is best with four up-projections, at the rank that then meets the budget; plain LoRA with the lower alpha."""

    def score(run: RunConfig) -> float:
        settings = run.method.settings
        return top_at(2e-3)(run) - 0.05 * (settings["alpha"] == 32.0) - 0.05 * (settings.get("up_projections") == 2)

    asked = {"methods": "lora,mtl-lora", "rates": "1.1e-3,2e-3,3.6e-3", "tuning_seeds": "100,101"}
    runs = simulated(tmp_path, score, knob=KNOBS, **asked)
    trials, report = stages(runs)
    assert Counter(r.method.label for r in trials) == {"lora": 12, "mtl-lora": 12}
    tried = {(r.method.label, r.candidate) for r in trials}
    assert len(tried) == 12 and ("mtl-lora", Candidate(1.1e-3, 2)) in tried
    assert {r.method.label: r.candidate for r in report} == {"lora": Candidate(2e-3, 8.0), "mtl-lora": Candidate(2e-3, 4)}
    fits = [study(knob=KNOBS, **asked).fit(("mtl-lora", 93_000), value) for value in (2, 4)]
    assert all(abs(fit.mismatch) < 0.1 for fit in fits) and fits[0].method.rank > fits[1].method.rank
    assert {r.method.rank for r in report if r.method.label == "mtl-lora"} == {fits[1].method.rank}
    for run in report:
        record = runs.store.find(run.id)
        assert record is not None and run.method.choice is not None and run.method.choice.rule.endswith(KNOB)
        verify(record, runs.store.find)


def test_a_knob_of_the_recipe(tmp_path: Path) -> None:
    """What trains no adapter has but its recipe to tune."""

    def score(run: RunConfig) -> float:
        return 0.9 - run.recipe.weight_decay - 0.1 * abs(math.log10(run.recipe.learning_rate / 2e-4))

    runs = simulated(tmp_path, score, methods="full", rates="1e-3,2e-3,4e-3", knob=["full:weight_decay=0.1,0.01"])
    trials, report = stages(runs)
    assert {r.recipe.weight_decay for r in trials} == {0.1, 0.01} and len(trials) == 12
    for run in report:
        assert (run.candidate, run.recipe.weight_decay) == (Candidate(2e-4, 0.01), 0.01)
        record = runs.store.find(run.id)
        assert record is not None
        verify(record, runs.store.find)


def test_knobs_are_halved_with_the_rates(tmp_path: Path) -> None:
    asked = {"methods": "lora", "rates": "1e-3,2e-3,4e-3", "knob": ["lora:alpha=8,16,32"], "trials_budget": 14}
    runs = simulated(tmp_path, lambda run: top_at(2e-3)(run) - 0.001 * run.method.settings["alpha"], **asked)
    trials, report = stages(runs)
    assert Counter(r.seed for r in trials) == {100: 9, 101: 5}
    assert {r.candidate for r in report} == {Candidate(2e-3, 8.0)}
    knobbed = study(**asked)
    told = text(plan([knobbed], runs.store), knobbed)
    assert "each rate with every value of a knob: lora alpha 8.0, 16.0, 32.0" in told


BAD_KNOBS = {
    "no method": (["dora:alpha=1,2"], "unknown method with a knob 'dora'; known: lora, heads-only"),
    "two": (["lora:alpha=1,2", "lora:dropout=0,0.1"], "lora has two knobs: each method has one"),
    "one alone": (["lora:alpha=1,2"], "the same number of values, not lora 2, heads-only none"),
    "unequal": (["lora:alpha=1,2", "heads-only:warmup=0,0.1,0.2"], "the same number of values, not lora 2, heads-only 3"),
    "a rate": (["lora:learning_rate=1e-3,2e-3"], "unknown knob of lora 'learning_rate'"),
    "a rank": (["lora:rank=1,2"], "unknown knob of lora 'rank'"),
    "without an adapter": (["heads-only:alpha=1,2"], "unknown knob of heads-only 'alpha'; known: warmup, weight_decay"),
    "one value": (["lora:alpha=1"], "a knob has several values, all different, like alpha=1,2; not 'alpha=1'"),
    "a value twice": (["lora:alpha=1,1.0"], "a knob has several values, all different"),
    "no number": (["lora:alpha=1,x"], "lora: alpha must be of the kind of 16.0, not 'x'"),
}


@pytest.mark.parametrize(("knobs", "told"), BAD_KNOBS.values(), ids=BAD_KNOBS)
def test_what_is_no_knob_is_refused_in_a_line(knobs: list[str], told: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(told)):
        study(methods="lora,heads-only", knob=knobs)


def test_a_knob_that_a_method_has_set_already_or_means_nothing_to_it_is_refused() -> None:
    for label, knob in (("lora:alpha=8.0", "alpha"), ("lora:alpha=8.0", "scaling")):
        with pytest.raises(InvalidInput, match=f"unknown knob of {label} '{knob}'"):
            study(methods="lora:alpha=8", knob=[f"{label}:{knob}=1,2"])
    with pytest.raises(InvalidInput, match="--knob goes with protocol tuned"):
        study(protocol="matched", knob=["lora:alpha=1,2"])
    with pytest.raises(InvalidInput, match=r"the knob of lora at -1\.0: lora: alpha must be a number above 0, not -1"):
        study(methods="lora", knob=["lora:alpha=-1,2"]).fit(("lora", 93_000), 2.0)
    with pytest.raises(InvalidInput, match="the knob of mtl-lora at 30: no rank of mtl-lora meets a budget of 93,000"):
        study(methods="mtl-lora", knob=["mtl-lora:up_projections=2,30"]).fit(("mtl-lora", 93_000), 2)

"""Arms: ranks by budget or as asked for, what is left out, recipes of a method's own, and budgets that suit all."""

from __future__ import annotations

import itertools
import json
import random
import statistics
from types import SimpleNamespace

import pytest

from benchmarks.experiment.choosing import best_of
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import Candidate, Choice, Trial
from mtl_lora import InvalidInput
from mtl_lora.budget import CLOSE, nearest_budgets
from reports.evidence.comparison import common
from reports.evidence.tuning import Tuned

FEW = {"tasks": "sense-north,sense-south", "max_train": 32, "max_eval": 12}


def study(**options: object) -> Study:
    [found] = studies(StudyOptions("quick", **(FEW | options)))
    return found


def test_nearest_budgets_are_those_that_a_search_finds() -> None:
    rng = random.Random(0)
    for _ in range(200):
        steps = [rng.randint(50, 400) for _ in range(rng.randint(1, 3))]
        sizes = [[step * rank for rank in range(1, 40)] for step in steps]
        budget = rng.randint(100, 8000)

        def met(wanted: int, sizes: list[list[int]] = sizes) -> bool:
            return all(min(abs(size / wanted - 1) for size in own) <= CLOSE for own in sizes)

        suit = {size for own in sizes for size in own if met(size)}
        below, above = [s for s in suit if s < budget], [s for s in suit if s >= budget]
        assert nearest_budgets(sizes, budget) == sorted(below)[-1:] + sorted(above)[:1]


def test_plan_names_budgets_that_every_method_meets_and_they_do() -> None:
    found = study(methods="lora,dora,mtl-lora", budget="93k")
    for budget in found.arms.nearest(found.sizes[0]):
        fits = study(methods="lora,dora,mtl-lora", budget=str(budget)).fits
        assert max(abs(fit.mismatch) for fit in fits.values()) <= CLOSE


def test_a_method_that_was_named_and_meets_no_budget_is_refused_with_one_that_all_meet() -> None:
    with pytest.raises(
        InvalidInput, match=r"no rank of moelora meets a budget of 15,000 .*; all these methods meet .* within 2%"
    ):
        study(methods="lora,moelora", budget="15000").fits  # noqa: B018


def test_a_method_of_all_that_meets_no_budget_is_left_out_with_a_line() -> None:
    found = study(methods="all", budget="15000")
    [line] = [line for line in found.left_out if line.startswith("moelora")]
    assert "moelora is left out: no rank of moelora meets a budget of 15,000 parameters within 10%" in line
    assert ("lora", 15000) in found.fits
    assert ("moelora", 15000) not in found.fits


def test_ranks_of_all_and_of_one() -> None:
    found = study(methods="lora,dora,mtl-lora:alpha=4,lora:rank=3:alpha=6", rank=8)
    assert {label: (fit.method.rank, fit.method.alpha) for (label, _), fit in found.fits.items()} == {
        "lora": (8, 16.0),
        "dora": (8, 16.0),
        "mtl-lora:alpha=4.0": (8, 4.0),
        "lora:alpha=6.0:rank=3": (3, 6.0),
    }
    runs = found.runs()
    assert {run.rank for run in runs} == {8}
    assert {run.id for run in runs}.isdisjoint(
        run.id for run in study(methods="lora,dora", budget=str(found.sizes[0])).runs()
    )


def test_the_larger_lora_has_the_size_of_the_largest_adapter_or_the_highest_rank() -> None:
    found = study(methods="lora-larger,lora,lora-per-task", budget="28672")
    larger, apart = (found.fits[label, 28672].method for label in ("lora-larger", "lora-per-task"))
    assert larger.count(found.arms.dims, 2) == apart.count(found.arms.dims, 2) == 2 * 28672
    highest = study(methods="lora,lora-per-task,lora-larger", budget="93k", tasks=None).fits["lora-larger", 93000].method
    assert highest.rank == 128
    own = study(methods="lora-larger:scaling=1,lora,mtl-lora", rank=8).fits
    larger, ours = own["lora-larger:scaling=1.0", 57_344].method, own["mtl-lora", 57_344].method
    assert larger.alpha == larger.rank > ours.rank == 8, "it has settings of its own, and its rank from the others alone"
    with pytest.raises(InvalidInput, match="lora-larger has the size of the largest other adapter: name other methods"):
        study(methods="lora-larger").fits  # noqa: B018


def test_a_recipe_for_all_and_of_a_methods_own() -> None:
    found = study(
        methods="lora,lora:learning_rate=2e-4:scaling=1,dora:warmup=0.2", warmup=0.1, weight_decay=0.01, dropout=0.1
    )
    runs = {run.method.label: run for run in found.runs()}
    recipes = {label: run.recipe for label, run in runs.items()}
    assert {(r.weight_decay, r.dropout) for r in recipes.values()} == {(0.01, 0.1)}
    own = runs["lora:learning_rate=0.0002:scaling=1.0"]
    assert own.recipe.learning_rate == 2e-4 != recipes["lora"].learning_rate
    assert (own.method.settings["alpha"], runs["lora"].method.settings["alpha"]) == (
        own.method.rank,
        2 * runs["lora"].method.rank,
    )
    assert [recipes[label].warmup for label in ("lora", "dora:warmup=0.2")] == [0.1, 0.2]
    assert len({json.dumps(common(run)) for run in runs.values()}) == 1, "they stand in one table"


WRONG = {
    "a rate of its own": ({"methods": "lora:learning_rate=-1"}, "learning rate must be a finite number above 0, not -1"),
    "no setting": ({"methods": "lora:learn=1"}, "unknown setting of lora 'learn'"),
    "rank and budget": ({"rank": 8, "budget": "93k"}, "--rank and --budget are two ways to size methods"),
    "rank 0": ({"rank": 0, "methods": "lora"}, "rank must be a whole number of at least 1, not 0"),
    "reduced": ({"reduced": True}, "--reduced goes with protocol tuned"),
    "a budget of trials": ({"trials_budget": 9}, "--trials-budget goes with protocol tuned"),
    "dropout": ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG)
def test_bad_input(options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        study(**options).runs()


def test_reduced_is_named_by_its_protocol() -> None:
    whole, reduced = study(protocol="tuned"), study(protocol="tuned", reduced=True)
    assert reduced.tuning.rates == whole.tuning.rates[::2]
    assert len(reduced.seeds) == 3 < len(whole.seeds)
    assert reduced.protocol == "tuned-reduced"


def test_best_of_k_is_the_mean_over_all_ways_to_take_k_rates() -> None:
    means = {1e-4: 60.0, 2e-4: 75.0, 4e-4: 71.0, 8e-4: 20.0}
    trials = tuple(Trial(str(rate), rate, 0, mean / 100) for rate, mean in means.items())
    found = {Candidate(rate): mean for rate, mean in means.items()}
    choice, seeds = Choice(2e-4, "", trials, False), {candidate: [mean] for candidate, mean in found.items()}
    best = best_of(trials, None)
    assert best is not None
    arm = Tuned(SimpleNamespace(), choice, None, found, seeds, best, 1e-4)
    for k in range(1, 5):
        expected = statistics.fmean(max(taken) for taken in itertools.combinations(means.values(), k))
        assert arm.best_of(k) == pytest.approx(expected)

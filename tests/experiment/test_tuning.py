"""Protocol tuned: the grid, the one rule of selection, and how a grid grows; without any training."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from benchmarks.experiment.choosing import HALVING, choose, edge
from benchmarks.experiment.presets import PICTURE_PRESETS, PRESETS
from benchmarks.experiment.tuning import GROWTHS, Tuning, shifted, window
from benchmarks.records.config import Trial
from mtl_lora import InvalidInput


def trials(scores: Mapping[float, Sequence[float | None]]) -> list[Trial]:
    """A trial for each rate and score, whose place is the seed."""
    return [Trial(f"{rate}-{seed}", rate, seed, s) for rate, own in scores.items() for seed, s in enumerate(own)]


def test_the_series_has_four_rates_a_decade_evenly_spaced() -> None:
    rates = window(1.1e-5, 2e-2)
    assert rates[:9] == (1.1e-5, 2e-5, 3.6e-5, 6.3e-5, 1.1e-4, 2e-4, 3.6e-4, 6.3e-4, 1.1e-3)
    steps = [math.log10(high / low) for low, high in pairwise(rates)]
    assert steps == pytest.approx([0.25] * len(steps), abs=0.02)
    assert window(1e-4, 1.9e-4) == (1.1e-4,)


@pytest.mark.parametrize("preset", [*PRESETS.values(), *PICTURE_PRESETS.values()], ids=lambda preset: preset.backbone.id)
def test_a_preset_names_a_window_of_at_least_six_rates_around_its_recipe(preset) -> None:
    rates = window(*preset.rates)
    assert len(rates) >= 6
    assert rates[0] < preset.recipe.learning_rate < rates[-1]


def test_the_highest_mean_over_seeds_is_chosen() -> None:
    found = choose(trials({1e-4: [0.5, 0.9], 2e-4: [0.79, 0.81], 4e-4: [0.9, 0.2]}))
    assert (found.learning_rate, found.on_edge) == (2e-4, False)
    assert {trial.learning_rate for trial in found.trials} == {1e-4, 2e-4, 4e-4}


def test_of_rates_within_one_standard_error_the_lowest_is_chosen() -> None:
    best = [0.70, 0.80, 0.90]
    error = statistics.stdev(best) / math.sqrt(3)
    for below, chosen in ((0.99 * error, 1e-4), (1.01 * error, 4e-4)):
        mean = 0.80 - below
        assert choose(trials({1e-4: [mean] * 3, 2e-4: [0.1] * 3, 4e-4: best, 8e-4: [0.1] * 3})).learning_rate == chosen


def test_with_one_seed_there_is_no_standard_error_and_a_tie_goes_to_the_lower() -> None:
    assert choose(trials({1e-4: [0.8], 2e-4: [0.81]})).learning_rate == 2e-4
    assert choose(trials({1e-4: [0.8], 2e-4: [0.8]})).learning_rate == 1e-4


def test_a_rate_at_which_a_trial_diverged_is_not_chosen() -> None:
    found = choose(trials({1e-4: [0.5, 0.6], 2e-4: [0.99, None]}))
    assert found.learning_rate == 1e-4
    assert found.trials[-1].score is None


def test_the_order_of_trials_does_not_matter() -> None:
    own = trials({1e-4: [0.5, 0.6], 2e-4: [0.7, 0.6], 4e-4: [0.65, 0.66]})
    assert choose(own).learning_rate == choose(own[::-1]).learning_rate


@pytest.mark.parametrize("own", [{}, {1e-4: [None], 2e-4: [None]}])
def test_no_choice_without_trials_or_where_all_rates_diverge(own) -> None:
    with pytest.raises(InvalidInput, match="no learning rate can be chosen"):
        choose(trials(own))


def test_no_choice_where_a_trial_is_missing() -> None:
    with pytest.raises(InvalidInput, match=r"trials at learning rate 0\.0002 lack seeds that others have"):
        choose(trials({1e-4: [0.5, 0.6], 2e-4: [0.9]}))


def test_the_edge_that_the_best_lies_on() -> None:
    assert edge(trials({1e-4: [0.9], 2e-4: [0.8], 4e-4: [0.7]})) == "low"
    assert edge(trials({1e-4: [0.7], 2e-4: [0.8], 4e-4: [0.7]})) is None
    assert edge(trials({1e-4: [0.7], 2e-4: [0.8], 4e-4: [0.9]})) == "high"
    assert edge(trials({1e-4: [None], 2e-4: [0.8], 4e-4: [None]})) is None
    assert edge(trials({1e-4: [None], 2e-4: [None]})) == "low"


def test_a_grid_grows_by_two_rates_at_the_edges_where_a_best_lies_and_not_for_ever() -> None:
    grid = Tuning(window(1.1e-3, 3.6e-3), (0,))
    assert grid.grown([None]) is grid
    assert grid.grown(["high", None]).rates == (1.1e-3, 2e-3, 3.6e-3, 6.3e-3, 1.1e-2)
    assert grid.grown(["low"]).rates == (3.6e-4, 6.3e-4, 1.1e-3, 2e-3, 3.6e-3)
    assert Tuning((1e-3,), (0,)).grown(["low", "high"]).rates == (3.6e-4, 6.3e-4, 1e-3, 1.1e-3, 2e-3)
    assert Tuning(window(1.1e-3, 2e-2)[::2], (0,), stride=2).grown(["high"]).rates == (1.1e-3, 3.6e-3, 1.1e-2, 3.6e-2, 0.11)
    for _ in range(GROWTHS):
        grid = grid.grown(["high"])
    assert grid.at_limit
    assert grid.grown(["high"]) is grid


def test_full_fine_tuning_tries_a_tenth() -> None:
    assert [shifted(rate) for rate in window(1.1e-3, 6.3e-3)] == list(window(1.1e-4, 6.3e-4))


@pytest.mark.parametrize("rates", [(), (0.0,), (math.nan,), (-1e-4,), (math.inf,), (1e-4, 1e-4)])
def test_a_grid_of_what_is_no_rate(rates: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="learning rates to try must be different finite numbers above 0"):
        Tuning(rates, (0,))


def halved(budget: int) -> list[Trial]:
    """Trials by halving of four rates whose scores rise, with seeds 0, 1, ..."""
    grid = Tuning(window(1.1e-3, 6.3e-3), (0, 1, 2), budget=budget)
    return [
        Trial(f"{rate}-{seed}", rate, seed, 100 * rate + 0.001 * seed)
        for (seed,), size in grid.rounds
        for rate in grid.rates[-size:]
    ]


def test_a_choice_by_halving_is_checked_round_by_round() -> None:
    for budget, chosen in ((4, 6.3e-3), (6, 6.3e-3)):
        found = choose(halved(budget), budget)
        assert (found.learning_rate, found.rule, found.budget) == (chosen, HALVING, budget)
        assert choose(found.trials[::-1], budget).learning_rate == chosen
    whole = halved(6)
    other = dataclasses.replace(whole[-1], learning_rate=1.1e-3)
    for wrong in ([*whole[:-1], other], whole[:-1], [*whole, dataclasses.replace(whole[-1], seed=2)]):
        with pytest.raises(InvalidInput, match="trials are not those of halving by a budget of 6"):
            choose(wrong, 6)


def test_a_budget_that_does_not_try_every_rate_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a budget of 3 trials does not try each of 4 learning rates once"):
        Tuning(window(1.1e-3, 6.3e-3), (0,), budget=3)


def test_a_rule_for_all_finds_the_best_of_noisy_trials_mostly() -> None:
    """A curve with its top at the fourth of seven rates, two seeds: the choice is there or next to it."""
    import numpy as np

    rng, rates, near = np.random.default_rng(0), window(1.1e-4, 3.6e-3), 0
    for _ in range(400):
        curve = {rate: 0.8 - 0.05 * (place - 3) ** 2 + 0.02 * rng.standard_normal(2) for place, rate in enumerate(rates)}
        near += choose(trials({rate: own.tolist() for rate, own in curve.items()})).learning_rate in rates[2:5]
    assert near == 400

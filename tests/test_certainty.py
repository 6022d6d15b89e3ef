"""Resampled scores, corrected p-values and contests, against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.metrics import METRICS, Scored
from benchmarks.suite import Task
from reports.certainty import Contest, draw_seeds, holm, mean_over_seeds, two_sided
from reports.plots import pareto_front
from reports.resampling import WEIGHTED, draw, weighted_scores

ROWS = 60


def scored(metric: str) -> Scored:
    """Rows with ties, and a class that is never predicted."""
    rng = np.random.default_rng(3)
    graded = metric in ("pearson", "spearman", "quadratic_kappa")
    labels = rng.integers(1, 5, ROWS).astype(float) if graded else rng.integers(0, 2, ROWS).astype(float)
    if metric == "matthews":
        labels = rng.integers(0, 3, ROWS).astype(float)
    noise = rng.normal(0, 1, ROWS)
    predictions = np.round(labels + noise, 1) if graded else np.where(noise > 0.8, 1 - labels, labels)
    task = Task("t", "", "", "", "", (), (metric,), labels=() if graded else ("a", "b", "c"), scale=(1, 4))
    return Scored(task, labels, predictions, confidence=np.round(labels + 2 * noise, 0))


@pytest.mark.parametrize("metric", WEIGHTED)
def test_weights_are_repetitions(metric: str) -> None:
    """A row of weight 3 counts as three rows: scikit-learn and SciPy say what that scores."""
    rows = scored(metric)
    frame = pd.DataFrame({"label": rows.labels, "prediction": rows.predictions, "confidence": rows.confidence})
    weights = np.concatenate([np.ones((1, ROWS)), *draw(np.random.default_rng(0), ROWS, 8)])
    found = weighted_scores(rows.task, [frame], weights)[:, 0]
    for score, times in zip(found, weights.astype(int), strict=True):
        assert score == pytest.approx(METRICS[metric](rows.take(np.repeat(np.arange(ROWS), times), None)), abs=1e-9)
    assert len(set(np.round(found, 6))) > 5


def test_no_answer_is_a_wrong_one() -> None:
    rows = scored("accuracy")
    frame = pd.DataFrame({"label": rows.labels, "prediction": np.full(ROWS, np.nan)})
    assert weighted_scores(rows.task, [frame], np.ones((1, ROWS))) == 0


def test_a_resample_is_as_large_as_the_sample() -> None:
    weights = np.concatenate(list(draw(np.random.default_rng(0), 50, 4000)))
    assert weights.shape == (4000, 50) and (weights.sum(1) == 50).all()
    # Of a mean over rows, resamples vary by the standard error, with the variance taken by n.
    values = np.random.default_rng(1).normal(size=50)
    assert (weights @ values / 50).std() == pytest.approx(values.std() / 50**0.5, rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_vary_a_mean_by_its_unbiased_standard_error(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(size=seeds)
    draws = draw_seeds(np.random.default_rng(0), seeds)
    resampled = mean_over_seeds(np.broadcast_to(values, (len(draws), seeds)), draws)
    assert resampled.std() == pytest.approx(values.std(ddof=1) / seeds**0.5, rel=0.08)
    assert resampled.mean() == pytest.approx(values.mean(), abs=4 * values.std() / len(draws) ** 0.5)


def test_one_seed_is_drawn_always() -> None:
    draws = draw_seeds(np.random.default_rng(0), 1)
    values = np.random.default_rng(1).normal(size=(len(draws), 1, 2))
    assert (mean_over_seeds(values, draws) == values[:, 0]).all()


def test_holm_on_his_own_terms() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_p_is_that_of_a_normal_distribution() -> None:
    resampled = np.random.default_rng(0).normal(1.5, 1.0, 200_000)
    assert two_sided(resampled) == pytest.approx(2 * stats.norm.sf(1.5), rel=0.02)
    assert two_sided(resampled - 1.5) > 0.99 and two_sided(np.full(99, 3.0)) == pytest.approx(0.02)


def test_what_is_sure() -> None:
    contest = Contest(difference=2.0, low=1.0, high=3.0, p=0.01, over_seeds=1.5, effect=1.0)
    assert contest.sure and contest.reversed.difference == -2 and (contest.reversed.low, contest.reversed.high) == (-3, -1)
    for doubt in ({"p": 0.06}, {"over_seeds": 2.5}, {"over_seeds": None}):
        assert not Contest(**(vars(contest) | doubt)).sure


def test_the_pareto_front_drops_what_is_beaten() -> None:
    points = [(40, 9.0), (20, 4.0), (10, 5.0), (20, 6.0), (30, 6.0)]
    assert pareto_front(points) == [2, 3, 0]

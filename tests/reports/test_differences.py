"""Intervals, p-values, verdicts and plans, by simulation and against SciPy's own tests."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from reports.evidence.differences import LEVEL, POWER, Difference, Error, Judged, holm, judge, plan

METHODS = 5
PAIRS = list(combinations(range(METHODS), 2))
STUDIES = 2000
CHANCE = 3 * (LEVEL * (1 - LEVEL) / STUDIES) ** 0.5  # three standard errors of a share of 5% of the studies


def studies(seeds: int, spread: float, truth: list[float], margin: float) -> tuple[np.ndarray, Judged]:
    """Mean differences (studies, pairs) between methods, and what is judged of each.

    The scored rows give each method an error of standard deviation 1 that all its seeds share, seeds one of ``spread``.
    """
    rng = np.random.default_rng(seeds)
    rows = rng.normal(size=(STUDIES, METHODS, 1))
    scores = np.array(truth)[:, None] + rows + rng.normal(0, spread, (STUDIES, METHODS, seeds))
    first, second = map(list, zip(*PAIRS, strict=True))
    differences = scores[:, first] - scores[:, second]
    found = judge(differences.reshape(-1, seeds).T, np.full(STUDIES * len(PAIRS), 2.0), margin)
    return differences.mean(2), Judged(*(part.reshape(STUDIES, -1) for part in found))


@pytest.mark.parametrize("spread", [0, 1, 3, 20])
@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_equal_methods_are_seldom_called_better(seeds: int, spread: float) -> None:
    """At most one family of ten pairs in twenty has any significant pair, and 95% of all intervals hold the truth."""
    mean, found = studies(seeds, spread, [0] * METHODS, margin=1)
    assert (np.abs(mean) <= found.half).mean() > 0.945
    assert np.mean(found.p.min(1) * len(PAIRS) < LEVEL) < LEVEL + CHANCE


@pytest.mark.parametrize("spread", [0, 1, 3, 20])
@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_methods_the_margin_apart_are_seldom_called_equivalent(seeds: int, spread: float) -> None:
    """Two groups of methods that differ by just the margin: in one family in twenty any of these pairs is called equivalent.

    The margin is wide enough that it is not merely the want of seeds that keeps them from being called so.
    """
    margin = 8 * (2 + 2 * spread**2 / seeds) ** 0.5
    _, found = studies(seeds, spread, [0, 0, 0, margin, margin], margin)
    corrected = np.array([holm(family) for family in found.p_equivalence])
    apart = np.array([(first < 3) != (second < 3) for first, second in PAIRS])
    assert (corrected[:, apart] < LEVEL).any(1).mean() < LEVEL + CHANCE
    if seeds > 3:
        assert (corrected[:, ~apart] < LEVEL).mean() > 0.5  # those that are equal are found to be


def test_either_source_of_error_alone_says_too_much() -> None:
    """Ignoring the rows, or taking few seeds' variance for the truth, calls many equal methods different."""
    mean, _ = studies(3, 0.2, [0] * METHODS, margin=1)
    assert np.mean(np.abs(mean) <= stats.t.ppf(0.975, 2) * (2 * 0.2**2 / 3) ** 0.5) < 0.5
    differences = np.random.default_rng(0).normal(0, 5, (3, STUDIES))
    normal = np.abs(differences.mean(0)) <= 1.96 * (2 + differences.var(0, ddof=1) / 3) ** 0.5
    assert normal.mean() < 0.91


def test_seeds_alone_are_judged_as_scipy_does_and_rows_alone_by_the_normal_distribution() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, (5, 4))
    found = judge(differences, np.zeros(4), margin=2.0)
    test = stats.ttest_1samp(differences, 0)
    assert found.p == pytest.approx(test.pvalue, rel=1e-6)
    assert found.half == pytest.approx((test.confidence_interval().high - test.confidence_interval().low) / 2)
    low = stats.ttest_1samp(differences, -2, alternative="greater").pvalue
    high = stats.ttest_1samp(differences, 2, alternative="less").pvalue
    assert found.p_equivalence == pytest.approx(np.maximum(low, high), rel=1e-6)
    same = judge(np.full((3, 1), 1.5), np.ones(1), margin=4.0)
    assert (same.p[0], same.half[0]) == (pytest.approx(2 * stats.norm.sf(1.5)), pytest.approx(1.96, abs=1e-3))
    assert same.p_equivalence[0] == pytest.approx(stats.norm.sf(2.5))


def test_of_two_sources_the_tail_is_where_the_quantile_is() -> None:
    error = Error(np.array([1.0, 1.0, 0.2]), np.array([0.1, 1.0, 3.0]), 2)
    for level in (0.6, 0.975, 0.9999):
        assert error.tail(error.quantile(level)) == pytest.approx(np.full(3, 1 - level), rel=1e-6)
        assert error.tail(-error.quantile(level)) == pytest.approx(np.full(3, level), rel=1e-6)


def test_methods_that_answer_alike_are_equivalent_and_not_different() -> None:
    found = judge(np.zeros((3, 1)), np.zeros(1), margin=1.0)
    assert (found.half[0], found.p[0]) == (0, 1) and found.p_equivalence[0] < 1e-6


def test_holm_on_his_own_terms() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def difference(**changes: float) -> Difference:
    values = {"value": 2.0, "half": 1.5, "p": 0.01, "p_equivalence": 1.0, "seeds": 3, "family": 4, "margin": 1.0}
    values |= {"rows_variance": 0.1, "seeds_variance": 1.0, "effect": 1.0, "improvement": 0.9}
    return Difference(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "better"),
        ({"value": -2.0}, "worse"),
        ({"p": 0.06}, "undecided"),
        ({"half": 2.5}, "undecided"),
        ({"seeds": 1}, "undecided"),
        ({"value": 0.2, "half": 0.5, "p": 0.5, "p_equivalence": 0.01}, "equivalent"),
        ({"value": 0.6, "half": 0.3, "p": 0.001, "p_equivalence": 0.01}, "equivalent"),  # above 0, but not by what matters
        ({"value": 0.2, "half": 0.9, "p": 0.5, "p_equivalence": 0.01}, "undecided"),  # the interval leaves the margin
        ({"value": 0.2, "half": 0.5, "p": 0.5, "p_equivalence": 0.06}, "undecided"),
        ({"value": 0.2, "half": 0.5, "p": 0.5, "p_equivalence": 0.01, "seeds": 1}, "undecided"),
    ],
)
def test_the_verdict(changes: dict[str, float], verdict: str) -> None:
    assert difference(**changes).verdict == verdict


def test_the_other_way_round() -> None:
    other = difference().reversed
    assert (other.verdict, other.effect, str(other)) == ("worse", -1.0, "-2.0 ± 1.5")
    assert other.improvement == pytest.approx(0.1) and other.reversed == difference()


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.8, 3.0])
@pytest.mark.parametrize(("rows", "seeds"), [(0.02, 0.5), (0.5, 0.5), (0.01, 4.0)])
def test_what_a_plan_names_decides_and_half_as_much_does_not(value: float, rows: float, seeds: float) -> None:
    wanted = plan(value, rows, seeds, margin=1.0, family=1)

    def decided(count: int) -> float:
        rng = np.random.default_rng(0)
        error = rng.normal(0, (rows / wanted.rows) ** 0.5, STUDIES)
        differences = value + error + rng.normal(0, seeds**0.5, (count, STUDIES))
        found, mean = judge(differences, np.full(STUDIES, rows / wanted.rows), margin=1.0), np.abs(differences.mean(0))
        equivalent = (found.p_equivalence < LEVEL) & (mean + found.half < 1)
        return float(np.mean(equivalent | ((found.p < LEVEL) & (mean > found.half))))

    assert POWER - 0.05 < decided(wanted.seeds)
    assert decided(wanted.seeds // 2) < POWER - 0.1 or wanted.seeds < 4


def test_a_plan_in_words() -> None:
    assert str(plan(0.0, 0.02, 0.5, 1.0, 1)) == "about 9 seeds"
    assert str(plan(0.0, 2.0, 0.1, 1.0, 1)) == "about 4 seeds and 39 times the scored rows"
    assert str(plan(0.0, 0.0, 1e5, 1.0, 1)) == "more than 1,000 seeds"
    assert difference(half=2.5).plan and difference().plan is None and difference(half=2.5, seeds=1).plan is None

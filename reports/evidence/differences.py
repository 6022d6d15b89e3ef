"""The difference between two methods: its 95% interval, its p-values, its verdict, and what would decide it.

Scores vary for two reasons: which rows were scored, the same ones for all seeds, and the seed that a run was trained with.
The bootstrap over rows tells the variance by the first, the seeds themselves the variance by the second, and few seeds tell
it badly. Both together are judged by the critical value of Cochran and Cox (Experimental Designs, 1957): the quantiles of
the normal distribution and of Student's t, weighted by the two variances; and never by less than Student's t over the seeds.
Neither is enough by itself: tests/reports/test_differences.py simulates when each calls too much significant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special, stats
from scipy.optimize.elementwise import find_root

from mtl_lora.errors import InvalidInput

LEVEL = 0.05
POWER = 0.8  # what "would probably decide" means
MARGIN = 1.0  # points of percent within which two methods are equivalent, unless another margin is given
BETTER, EQUIVALENT, WORSE, UNDECIDED = VERDICTS = ("better", "equivalent", "worse", "undecided")
SMALLEST = 1e-30  # smaller p-values are not told apart
MANY = 1000  # seeds beyond which no plan goes
COUNTS = np.unique(np.geomspace(2, MANY, 200).round())  # of seeds that plans try
SIZES = np.geomspace(1e-3, 1e3, 1000)  # of standard errors that plans try, by the margin


def checked(margin: float) -> None:
    """InvalidInput where no margin can be that."""
    if not 0 < margin < 100:
        raise InvalidInput(f"the margin is {margin:g}; it lies between 0 and 100, in points of percent")


@dataclass(frozen=True)
class Difference:
    """The first method less the second in points of percent, on a task or on the suite's mean.

    Attributes:
        value: the mean over the seeds that both have.
        half: half of the 95% interval.
        p: two-sided, that the difference is 0; corrected within the family by Holm's method.
        p_equivalence: that the difference is the margin or more, the larger one of two one-sided tests; corrected too.
        seeds: how many both have.
        family: how many pairs of methods are corrected together.
        margin: within which methods are called equivalent, in points.
        rows_variance: of ``value``, by the rows that happen to be scored.
        seeds_variance: of the difference of one seed.
        effect: the mean of the differences over tasks and seeds by their standard deviation (Cohen's d_z); None where all
            are equal.
        improvement: the probability that a run of the first scores higher than a run of the second, the mean over tasks,
            equal scores as half (Agarwal et al., 2021).
    """

    value: float
    half: float
    p: float
    p_equivalence: float
    seeds: int
    family: int
    margin: float
    rows_variance: float
    seeds_variance: float
    effect: float | None
    improvement: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.value) > self.half

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out, and p too after correction; never with one seed."""
        return self.seeds > 1 and self.p < LEVEL and self.shown

    @property
    def equivalent(self) -> bool:
        """Whether the interval lies inside the margin, and p_equivalence too after correction; never with one seed."""
        return self.seeds > 1 and self.p_equivalence < LEVEL and abs(self.value) + self.half < self.margin

    @property
    def verdict(self) -> str:
        """Of the first against the second. What lies inside the margin is equivalent, significantly above 0 or not."""
        if self.equivalent:
            return EQUIVALENT
        if self.significant:
            return BETTER if self.value > 0 else WORSE
        return UNDECIDED

    @property
    def plan(self) -> Plan | None:
        """What would probably decide it, were all as measured; None where it is decided, and for one seed, which shows no
        variance."""
        if self.seeds == 1 or self.verdict != UNDECIDED:
            return None
        return plan(self.value, self.rows_variance, self.seeds_variance, self.margin, self.family)

    @property
    def reversed(self) -> Difference:
        effect = None if self.effect is None else -self.effect
        return replace(self, value=-self.value, effect=effect, improvement=1 - self.improvement)

    def __str__(self) -> str:
        return f"{self.value:+.1f} ± {self.half:.1f}"


class Judged(NamedTuple):
    """Of n differences: half of the 95% interval, p and p_equivalence as in ``Difference``, not corrected."""

    half: np.ndarray
    p: np.ndarray
    p_equivalence: np.ndarray


def judge(differences: np.ndarray, rows_variance: np.ndarray, margin: float) -> Judged:
    """Judge means over seeds of paired differences.

    Args:
        differences: (seeds, n), in points; each column has a mean to judge.
        rows_variance: (n,), of each mean by the scored rows.
        margin: within which methods are equivalent, in points.
    """
    seeds, mean = len(differences), differences.mean(0)
    varied = np.ptp(differences, axis=0) > 1e-9  # Student's t says nothing of seeds that are all alike
    seeds_variance = np.where(varied, differences.var(0, ddof=1) / seeds, 0) if seeds > 1 else np.zeros_like(mean)
    error = Error(rows_variance, seeds_variance, max(seeds - 1, 1))
    half, p = error.quantile(1 - LEVEL / 2), np.minimum(2 * error.tail(np.abs(mean)), 1)
    beyond = np.maximum(error.tail(margin + mean), error.tail(margin - mean))
    if varied.any():
        own = differences[:, varied]
        alone = stats.ttest_1samp(own, 0)
        interval = alone.confidence_interval(1 - LEVEL)
        half[varied] = np.maximum(half[varied], (interval.high - interval.low) / 2)
        p[varied] = np.maximum(p[varied], alone.pvalue)
        sides = [stats.ttest_1samp(own, -margin, alternative="greater"), stats.ttest_1samp(own, margin, alternative="less")]
        beyond[varied] = np.maximum.reduce([beyond[varied], *(side.pvalue for side in sides)])
    return Judged(half, p, beyond)


@dataclass(frozen=True)
class Error:
    """The errors of n means, by Cochran and Cox.

    rows, seeds: the variance (n,) of each mean by either source. freedom: the degrees of freedom behind that of seeds.
    """

    rows: np.ndarray
    seeds: np.ndarray
    freedom: int | np.ndarray

    @property
    def size(self) -> np.ndarray:
        """The standard error."""
        return np.sqrt(self.rows + self.seeds)

    @property
    def weight(self) -> np.ndarray:
        """The share of seeds in the variance."""
        total = self.rows + self.seeds
        return np.divide(self.seeds, total, out=np.zeros_like(total), where=total > 0)

    def quantile(self, level: float) -> np.ndarray:
        """In points."""
        return self.size * self._bound(1 - level, self.weight)

    def tail(self, value: np.ndarray) -> np.ndarray:
        """The probability of an error of ``value`` points or more."""
        size, weight, far = self.size, self.weight, np.abs(value)
        bound = np.divide(far, size, out=np.where(far > 0, np.inf, 0), where=size > 0)
        bound = np.minimum(bound, self._bound(SMALLEST, weight))

        def excess(log: np.ndarray, weight: np.ndarray, bound: np.ndarray) -> np.ndarray:
            return self._bound(np.exp(log), weight) - bound

        upper = np.exp(find_root(excess, (np.log(SMALLEST) - 0.1, np.log(0.5) + 0.1), args=(weight, bound)).x)
        return np.where(value >= 0, upper, 1 - upper)

    def _bound(self, p: float | np.ndarray, weight: np.ndarray) -> np.ndarray:
        """By standard errors, what is exceeded with probability p."""
        return -(1 - weight) * special.ndtri(p) - weight * special.stdtrit(self.freedom, p)


class Plan(NamedTuple):
    """How much would probably decide: seeds, and how many times the rows that were scored."""

    seeds: int
    rows: float

    def __str__(self) -> str:
        seeds = f"more than {MANY:,} seeds" if self.seeds > MANY else f"about {self.seeds:,} seeds"
        return seeds if self.rows == 1 else f"{seeds} and {float(f'{self.rows:.2g}'):,g} times the scored rows"


def plan(value: float, rows_variance: float, seeds_variance: float, margin: float, family: int) -> Plan:
    """The seeds, and where these cannot do it the rows too, with which ``POWER`` of such studies would be decided.

    Rows are multiplied where they alone leave more than half of the variance that is allowed.

    Args:
        value: the true difference in points.
        rows_variance: of the mean difference, by the rows scored so far.
        seeds_variance: of the difference of one seed.
        margin: within which methods are equivalent, in points.
        family: how many pairs of methods are corrected together.
    """
    sizes = margin * SIZES
    few = undecided(value, Error(sizes**2, np.zeros_like(sizes), 1), margin, family) <= 1 - POWER
    rows = max(1.0, 2 * rows_variance / sizes[few].max() ** 2)
    error = Error(np.full(len(COUNTS), rows_variance / rows), seeds_variance / COUNTS, COUNTS - 1)
    enough = undecided(value, error, margin, family) <= 1 - POWER
    return Plan(int(COUNTS[enough][0]) if enough.any() else MANY + 1, rows)


def undecided(value: float, error: Error, margin: float, family: int) -> np.ndarray:
    """The probability (n,) that a true difference is neither found significant nor inside the margin, Holm's correction at
    its strictest."""
    outer = error.quantile(1 - LEVEL / 2 / family)
    inner = np.maximum(margin - error.quantile(1 - min(LEVEL / 2, LEVEL / family)), 0)
    ends, size = (inner, outer, -outer, -inner), error.size
    low, high, far_below, below = (special.ndtr((end - value) / size) for end in ends)
    return np.maximum(high - low, 0) + np.maximum(below - far_below, 0)


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected by the step-down method of Holm (1979)."""
    order = np.argsort(values, kind="stable")
    corrected, largest = np.empty(len(values)), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - step) * values[place]))
        corrected[place] = largest
    return corrected.tolist()

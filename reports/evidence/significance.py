"""How sure is a difference between two methods: a paired bootstrap over scored rows and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from benchmarks.scoring.resampling import draw, weighted_scores
from benchmarks.suites import find_suite
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput
from reports.evidence.comparison import Comparison, Entry, t_interval
from reports.evidence.results import Results

RESAMPLES = 4000
LEVEL = 0.05
UNSHOWN = "no difference shown"
MEAN = "mean"  # the suite's score beside those of its tasks


@dataclass(frozen=True)
class Contest:
    """One method over another, in points of percent, on a task or on the suite's mean, over the seeds that both have.

    half: of the 95% interval. p: two-sided, corrected by Holm's method among the contests of the same task. effect: over
    tasks and seeds, the mean of the differences by their standard deviation (Cohen's d_z); None where all are equal.
    """

    difference: float
    half: float
    p: float
    seeds: int
    effect: float | None

    @property
    def sure(self) -> bool:
        """Whether the interval leaves 0 out, and p too after correction; never with one seed."""
        return self.seeds > 1 and self.p < LEVEL and self._leaves_out_zero

    @property
    def verdict(self) -> str:
        """What can be said of the first method against the second."""
        if not self._leaves_out_zero:
            return UNSHOWN
        side = "ahead" if self.difference > 0 else "behind"
        return f"surely {side}" if self.sure else f"{side}, but not surely"

    @property
    def _leaves_out_zero(self) -> bool:
        return abs(self.difference) > self.half

    @property
    def reversed(self) -> Contest:
        return replace(self, difference=-self.difference, effect=None if self.effect is None else -self.effect)

    def __str__(self) -> str:
        return f"{self.difference:+.1f} ± {self.half:.1f}"


class Certainty:
    """All contests between the methods of a comparison at a budget.

    A resample draws scored rows of each task, the same for every method and seed, and seeds, the same for both methods.
    Where rows belong to queries, which records do not name, a task's score is drawn from the normal distribution with the
    record's standard error instead, independently for each method: wider than paired.

    Holm (1979): among the pairs of methods matched at the budget, and apart from these among the pairs of one of them and a
    reference. References are not compared with each other.
    """

    def __init__(self, comparison: Comparison, budget: int, results: Results) -> None:
        self.budget, self.entries = budget, comparison.at(budget)
        rng = np.random.default_rng(0)
        names = comparison.config["tasks"]
        runs = [run for entry in self.entries for run in entry.runs.values()]
        drawn = 100 * _drawn(find_suite(comparison.config["suite"]).select(names), runs, comparison, results, rng)
        drawn = np.concatenate([drawn, drawn.mean(2, keepdims=True)], axis=2)  # (resamples, runs, tasks and mean)
        place = {run: i for i, run in enumerate(runs)}
        self._contests: dict[str, dict[tuple[str, str], Contest]] = {name: {} for name in [*names, MEAN]}
        draws: dict[tuple[int, ...], np.ndarray] = {}
        for first, second in combinations(self.entries, 2):
            seeds = tuple(seed for seed in first.seeds if seed in second.seeds)
            if not seeds or (first.reference and second.reference):
                continue
            if seeds not in draws:
                draws[seeds] = draw_seeds(rng, len(seeds))
            own, other = (drawn[:, [place[entry.runs[seed]] for seed in seeds]] for entry in (first, second))
            resampled = mean_over_seeds(own - other, draws[seeds])
            for i, name in enumerate(self._contests):
                self._contests[name][first.label, second.label] = _contest(first, second, name, seeds, resampled[:, i])
        references = {entry.label for entry in self.entries if entry.reference}
        for contests in self._contests.values():
            outside = [pair for pair in contests if references & {*pair}]
            for family in (outside, [pair for pair in contests if pair not in outside]):
                corrected = holm([contests[pair].p for pair in family])
                contests |= {pair: replace(contests[pair], p=p) for pair, p in zip(family, corrected, strict=True)}

    @property
    def matched(self) -> list[Entry]:
        """The methods matched at the budget."""
        return [entry for entry in self.entries if not entry.reference]

    def contest(self, first: str, second: str, task: str = MEAN) -> Contest | None:
        """The first method over the second one; None where they have no seed in common."""
        contests = self._contests[task]
        if (second, first) in contests:
            return contests[second, first].reversed
        return contests.get((first, second))

    def best(self, task: str = MEAN) -> str | None:
        """Of the methods matched at the budget the one with the highest score, where it surely beats the next one."""
        matched = self.matched
        ordered = sorted(matched, key=lambda entry: _cell(entry, task), reverse=True)
        if len(ordered) < 2:
            return None
        contest = self.contest(ordered[0].label, ordered[1].label, task)
        return ordered[0].label if contest and contest.sure and contest.difference > 0 else None


def draw_seeds(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Places (resamples, seeds - 1): with one seed fewer than there are, the variance of a mean comes out unbiased (Rao and
    Wu, 1988). The only one, where there is one."""
    return rng.integers(seeds, size=(RESAMPLES, max(seeds - 1, 1)))


def mean_over_seeds(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Of values (resamples, seeds, ..) the mean over the seeds drawn in each resample."""
    places = draws.reshape(*draws.shape, *[1] * (values.ndim - 2))
    return np.take_along_axis(values, places, axis=1).mean(1)


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected by the step-down method of Holm (1979)."""
    order = np.argsort(values, kind="stable")
    corrected, largest = np.empty(len(values)), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - step) * values[place]))
        corrected[place] = largest
    return corrected.tolist()


def judge(differences: Sequence[float], resampled: np.ndarray) -> tuple[float, float]:
    """Half of the 95% interval of the mean of differences, one a seed, and the two-sided p that it is nothing else than 0:
    the wider and the larger of the bootstrap's and, with several seeds, those of Student's t over seeds.

    resampled: that mean in each resample. Why both: the bootstrap makes too little of few seeds, Student's t knows nothing
    of rows that all seeds share. Either alone covers the truth too seldom; the tests say when.
    """
    mean, (low, high) = float(np.mean(differences)), np.percentile(resampled, [2.5, 97.5])
    half, p = float(max(mean - low, high - mean)), two_sided(resampled)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if spread:
        error = spread / len(differences) ** 0.5
        half = max(half, t_interval(spread, len(differences)))
        p = max(p, 2 * float(stats.t.sf(abs(mean) / error, len(differences) - 1)))
    return half, p


def two_sided(resampled: np.ndarray) -> float:
    """The p-value that a difference is nothing else than 0, from its resamples."""
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return min(1.0, 2 * (beyond + 1) / (len(resampled) + 1))


def _drawn(
    tasks: Sequence[Task], runs: list[str], comparison: Comparison, results: Results, rng: np.random.Generator
) -> np.ndarray:
    records = {record["id"]: record for record in comparison.records}
    frames = [dict(list(results.predictions(run).groupby("task", observed=True))) for run in runs]
    drawn = np.empty((RESAMPLES, len(runs), len(tasks)))
    for i, task in enumerate(tasks):
        own = [frame[task.name].sort_values("row") for frame in frames]
        for run, frame in zip(runs, own, strict=True):
            if not np.array_equal(frame["row"], own[0]["row"]):
                raise InvalidInput(
                    f"the predictions of runs {run} and {runs[0]} are not of the same rows of task {task.name}"
                )
        if task.query_column:
            scores = [records[run]["scores"][task.name] for run in runs]
            centre, error = (np.array([score[part] for score in scores]) for part in ("score", "standard_error"))
            by_method = {records[run]["config"]["method"]["label"]: rng.standard_normal(RESAMPLES) for run in runs}
            noise = [by_method[records[run]["config"]["method"]["label"]] for run in runs]
            drawn[:, :, i] = centre + error * np.stack(noise, axis=1)
            continue
        start = 0
        for weights in draw(rng, len(own[0]), RESAMPLES):
            drawn[start : start + len(weights), :, i] = weighted_scores(task, own, weights)
            start += len(weights)
    return drawn


def _contest(first: Entry, second: Entry, task: str, seeds: tuple[int, ...], resampled: np.ndarray) -> Contest:
    differences = [_by_seed(first, task)[seed] - _by_seed(second, task)[seed] for seed in seeds]
    half, p = judge(differences, resampled)
    names = [*first.tasks] if task == MEAN else [task]
    cells = [first.tasks_by_seed[name][seed] - second.tasks_by_seed[name][seed] for name in names for seed in seeds]
    spread = float(np.std(cells, ddof=1)) if len(cells) > 1 else 0.0
    effect = float(np.mean(cells)) / spread if spread else None
    return Contest(float(np.mean(differences)), half, p, len(seeds), effect)


def _by_seed(entry: Entry, task: str) -> dict[int, float]:
    return entry.by_seed if task == MEAN else entry.tasks_by_seed[task]


def _cell(entry: Entry, task: str) -> float:
    return entry.score.mean if task == MEAN else entry.tasks[task].mean

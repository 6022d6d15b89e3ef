"""Paired differences between all methods of a comparison, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from benchmarks.records.schema import RunRecord
from benchmarks.scoring.resampling import Columns, draw, draw_queries, names_queries, weighted_scores
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput
from reports.evidence.comparison import PLAIN, Comparison
from reports.evidence.differences import MARGIN, Difference, holm, judge
from reports.evidence.entries import Entry
from reports.evidence.results import Results

RESAMPLES = 1000  # of rows, for variances: these come out right to some 2%
MEAN = "mean"  # the suite's score beside those of its tasks
Pair = tuple[str, str]


class PairedTests:
    """The differences between the methods of a comparison at a budget, on each task and on the suite's mean.

    Holm (1979) corrects three families apart, for each task and for the mean: the methods matched at the budget against
    plain LoRA, which is the question of this suite; all other pairs of matched methods; and the pairs of one of them with a
    reference. References are not compared with each other.
    """

    def __init__(self, comparison: Comparison, budget: int, resampled: Resampled, margin: float = MARGIN) -> None:
        """resampled: of all runs. margin: within which methods are equivalent, in points."""
        self.budget, self.margin, self.entries = budget, margin, comparison.at(budget)
        self._names = [*comparison.config.tasks, MEAN]
        self.unpaired = any(run in resampled.unpaired for entry in self.entries for run in entry.runs.values())
        by_seeds: dict[tuple[int, ...], list[tuple[Entry, Entry]]] = {}
        for first, second in combinations(self.entries, 2):
            seeds = tuple(seed for seed in first.seeds if seed in second.seeds)
            if seeds and not (first.reference and second.reference):
                by_seeds.setdefault(seeds, []).append((first, second))
        found: dict[Pair, list[Difference]] = {}
        for seeds, pairs in by_seeds.items():
            found |= self._differences(seeds, pairs, resampled.scores)
        self._found = {
            (a.label, b.label): found[a.label, b.label]
            for a, b in combinations(self.entries, 2)
            if (a.label, b.label) in found
        }
        self._correct()

    @property
    def matched(self) -> list[Entry]:
        """The methods matched at the budget."""
        return [entry for entry in self.entries if not entry.reference]

    def difference(self, first: str, second: str, task: str = MEAN) -> Difference | None:
        """The first method less the second one; None where they have no seed in common."""
        place = self._names.index(task)
        if (second, first) in self._found:
            return self._found[second, first][place].reversed
        return self._found[first, second][place] if (first, second) in self._found else None

    def best(self, task: str = MEAN) -> str | None:
        """Of the methods matched at the budget the one with the highest score, where it is better than the next one."""
        ordered = sorted(self.matched, key=lambda entry: _score(entry, task), reverse=True)
        if len(ordered) < 2:
            return None
        found = self.difference(ordered[0].label, ordered[1].label, task)
        return ordered[0].label if found and found.significant and found.value > 0 else None

    def _differences(
        self, seeds: tuple[int, ...], pairs: list[tuple[Entry, Entry]], resampled: dict[str, np.ndarray]
    ) -> dict[Pair, list[Difference]]:
        """Of pairs that have these seeds in common, uncorrected: for each pair one difference per task, and the mean's."""
        entries = {entry.label: entry for pair in pairs for entry in pair}
        scores = {label: self._scores(entry, seeds) for label, entry in entries.items()}
        rows = {label: np.mean([resampled[entry.runs[s]] for s in seeds], axis=0) for label, entry in entries.items()}
        differences = np.stack([scores[a.label] - scores[b.label] for a, b in pairs], axis=1)  # (seeds, pairs, names)
        by_rows = np.stack([(rows[a.label] - rows[b.label]).var(0, ddof=1) for a, b in pairs])  # (pairs, names)
        judged = judge(differences.reshape(len(seeds), -1), by_rows.ravel(), self.margin)
        half, p, p_equivalence = (part.reshape(by_rows.shape) for part in judged)
        by_seeds = differences.var(0, ddof=1) if len(seeds) > 1 else np.zeros_like(by_rows)
        found: dict[Pair, list[Difference]] = {}
        for i, (first, second) in enumerate(pairs):
            improvements = improvement(scores[first.label][:, :-1], scores[second.label][:, :-1])
            found[first.label, second.label] = [
                Difference(
                    value=float(differences[:, i, j].mean()),
                    half=float(half[i, j]),
                    p=float(p[i, j]),
                    p_equivalence=float(p_equivalence[i, j]),
                    seeds=len(seeds),
                    family=1,
                    margin=self.margin,
                    rows_variance=float(by_rows[i, j]),
                    seeds_variance=float(by_seeds[i, j]),
                    effect=effect(differences[:, i, :-1] if name == MEAN else differences[:, i, j]),
                    improvement=float(improvements.mean() if name == MEAN else improvements[j]),
                )
                for j, name in enumerate(self._names)
            ]
        return found

    def _scores(self, entry: Entry, seeds: tuple[int, ...]) -> np.ndarray:
        """(seeds, names) in percent."""
        columns = [entry.tasks_by_seed[name] for name in self._names[:-1]] + [entry.by_seed]
        return np.array([[column[seed] for column in columns] for seed in seeds])

    def _correct(self) -> None:
        references = {entry.label for entry in self.entries if entry.reference}
        families: dict[str, list[Pair]] = {}
        for pair in self._found:
            kind = "reference" if references & {*pair} else "plain" if PLAIN in pair else "others"
            families.setdefault(kind, []).append(pair)
        for pairs in families.values():
            for place in range(len(self._names)):
                own = [self._found[pair][place] for pair in pairs]
                ps, equivalences = (holm([getattr(d, name) for d in own]) for name in ("p", "p_equivalence"))
                for pair, found, p, p_equivalence in zip(pairs, own, ps, equivalences, strict=True):
                    self._found[pair][place] = replace(found, p=p, p_equivalence=p_equivalence, family=len(pairs))


def paired_tests(comparison: Comparison, results: Results, margin: float = MARGIN) -> dict[int, PairedTests]:
    """By budget."""
    resampled = resample(comparison, results)
    return {budget: PairedTests(comparison, budget, resampled, margin) for budget in comparison.budgets}


def effect(differences: np.ndarray) -> float | None:
    """The mean by the standard deviation (Cohen's d_z); None where there is no spread."""
    spread = differences.std(ddof=1) if differences.size > 1 else 0.0
    return float(differences.mean() / spread) if spread else None


def improvement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each task the share of pairs of a run of the first and one of the second, scores (seeds, tasks), in which the
    first is higher; equal ones as half (Agarwal et al., 2021)."""
    higher, equal = first[:, None] > second[None], first[:, None] == second[None]
    return (higher + 0.5 * equal).mean((0, 1))


@dataclass(frozen=True)
class Resampled:
    """Scores of drawn rows.

    Attributes:
        scores: by run in percent (RESAMPLES, tasks and mean), each time on scored rows drawn anew, the same for all runs.
        unpaired: the runs whose ranked tasks are not paired with those of others, as their predictions name no queries.
    """

    scores: dict[str, np.ndarray]
    unpaired: frozenset[str]


def resample(comparison: Comparison, results: Results) -> Resampled:
    """Scores of all runs of a comparison on drawn rows; on whole queries that are drawn, where rows belong to such.

    Where predictions name no queries, a ranked task's score is drawn from the normal distribution with the record's
    standard error instead, independently for each method: wider than paired.
    """
    rng = np.random.default_rng(0)
    tasks = comparison.suite.select(comparison.config.tasks)
    runs = [run for entry in comparison.entries for run in entry.runs.values()]
    frames = {run: results.by_task(run) for run in runs}
    ranked = [task.name for task in tasks if task.query_column]
    unpaired = frozenset(run for run in runs if not all(names_queries(frames[run][name]) for name in ranked))
    drawn = []
    for task in tasks:
        own = {run: frames[run][task.name] for run in runs}
        _require_same_rows(task, own)
        apart = [record for record in comparison.records if record.id in unpaired and task.query_column]
        found = _of_errors(task, apart, rng)
        found |= _of_rows(task, {run: frame for run, frame in own.items() if run not in found}, rng)
        drawn.append(found)
    scores = {run: 100 * np.stack([found[run] for found in drawn], axis=1) for run in runs}
    return Resampled({run: np.column_stack([own, own.mean(1)]) for run, own in scores.items()}, unpaired)


def _of_rows(task: Task, frames: dict[str, Columns], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By run its scores (RESAMPLES,) of a task, on the same drawn rows or queries for all."""
    if not frames:
        return {}
    own = list(frames.values())
    ranked, first = task.query_column, own[0]
    drawn = draw_queries(rng, first["query"], RESAMPLES) if ranked else draw(rng, len(first["row"]), RESAMPLES)
    scores = np.concatenate([weighted_scores(task, own, weights) for weights in drawn])
    return dict(zip(frames, scores.T, strict=True))


def _of_errors(task: Task, records: Sequence[RunRecord], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By run its scores (RESAMPLES,) of a task by its standard error; those of a method vary together."""
    noise = {record.config.method.label: rng.standard_normal(RESAMPLES) for record in records}
    scores = {record.id: record.scores[task.name] for record in records}
    return {r.id: scores[r.id].score + scores[r.id].standard_error * noise[r.config.method.label] for r in records}


def _require_same_rows(task: Task, frames: dict[str, Columns]) -> None:
    """InvalidInput where runs were scored on other rows, or their rows belong to other queries."""
    for part in ("row", "query") if task.query_column else ("row",):
        having = {run: frame for run, frame in frames.items() if part == "row" or names_queries(frame)}
        for run, frame in having.items():
            first = next(iter(having))
            if not np.array_equal(frame[part], having[first][part]):
                raise InvalidInput(f"the predictions of runs {run} and {first} are not of the same rows of task {task.name}")


def _score(entry: Entry, task: str) -> float:
    return entry.score.mean if task == MEAN else entry.tasks[task].mean

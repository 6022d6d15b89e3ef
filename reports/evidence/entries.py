"""One method at one budget: its runs, and its scores with their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.experiment.methods import REFERENCES
from benchmarks.records.config import RunConfig, Setting, plain
from benchmarks.records.schema import RunRecord

# Under protocol paper, what each method's own script sets.
RELEASED = {"recipe": ("learning_rate", "warmup"), "backbone": ("max_length",), "answering": ("match",)}


@dataclass(frozen=True)
class Cell:
    """A score in percent over seeds. spread: their standard deviation, None for one seed. error: the standard error
    over the scored rows, averaged over seeds."""

    mean: float
    seeds: int
    spread: float | None
    error: float

    @property
    def interval(self) -> float:
        """Half of the 95% interval: over seeds (Student's t) where there are several, else over the scored rows."""
        return 1.96 * self.error if self.spread is None else t_interval(self.spread, self.seeds)

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.error:.1f})" if self.spread is None else f"{self.mean:.1f} ± {self.interval:.1f}"


@dataclass(frozen=True)
class Entry:
    """One method at one budget: a column of a table, a point of the plot.

    parameters: trained ones, without the heads. A reference stands outside the budget, or at none (0). place: of its method
    among those beyond the paper, by which figures tell these apart; None for one of the paper and for a reference.
    """

    label: str
    place: int | None
    reference: bool
    budget: int
    rank: int
    parameters: int
    heads: int
    base: int
    runs: dict[int, str]  # seed -> id of the record
    by_seed: dict[int, float]  # seed -> score of the suite in percent
    tasks: dict[str, Cell]
    tasks_by_seed: dict[str, dict[int, float]]  # task -> seed -> percent
    groups: dict[str, Cell]  # means over the tasks of a group, where the suite has groups
    metrics: dict[str, dict[str, float]]  # task -> metric -> percent, mean over seeds
    score: Cell
    unanswered: float | None  # generated texts without an answer in percent, mean over tasks and seeds
    released: dict[str, Setting] | None  # what the released scripts set for this method alone, under protocol paper

    @property
    def mismatch(self) -> float:
        """(parameters - budget) / budget."""
        return self.parameters / self.budget - 1

    @property
    def name(self) -> str:
        """The method, without its settings."""
        return self.label.partition(":")[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.by_seed)


def t_interval(spread: float, count: int) -> float:
    """Half of the 95% interval of a mean, from the standard deviation of ``count`` values."""
    return float(stats.t.ppf(0.975, count - 1)) * spread / count**0.5


def entry_of(
    label: str,
    budget: int,
    place: int | None,
    tasks: tuple[str, ...],
    groups: dict[str, list[str]],
    records: list[RunRecord],
) -> Entry:
    """The entry of the runs of one method at one budget. place: as in ``Entry``; groups: of tasks, by name."""
    records = sorted(records, key=lambda r: r.config.seed)
    parameters = records[0].parameters
    return Entry(
        label=label,
        place=place,
        reference=records[0].config.method.name in REFERENCES,
        budget=budget,
        rank=records[0].config.method.rank,
        parameters=parameters.trained - parameters.heads,
        heads=parameters.heads,
        base=parameters.base,
        runs={r.config.seed: r.id for r in records},
        by_seed={r.config.seed: 100 * r.score for r in records},
        tasks={task: _mean_of([task], records) for task in tasks},
        tasks_by_seed={task: {r.config.seed: 100 * r.scores[task].score for r in records} for task in tasks},
        groups={group: _mean_of(members, records) for group, members in groups.items()},
        metrics={
            task: {
                name: 100 * float(np.mean([r.scores[task].metrics[name] for r in records]))
                for name in records[0].scores[task].metrics
            }
            for task in tasks
        },
        score=_mean_of(tasks, records),
        unanswered=_unanswered(records),
        released=_released(records[0].config),
    )


def _released(config: RunConfig) -> dict[str, Setting] | None:
    """What the released scripts set for the method of a run alone, under the protocol that follows them."""
    if config.protocol != "paper":
        return None
    own = plain(config)
    return {name: own[part][name] for part, names in RELEASED.items() for name in names}


def _unanswered(records: list[RunRecord]) -> float | None:
    if records[0].config.answer_mode not in ("generation", "vision-language"):
        return None
    rates = [s.unanswered / s.rows for r in records for s in r.scores.values() if s.unanswered is not None]
    return 100 * float(np.mean(rates)) if rates else None


def _mean_of(tasks: Sequence[str], records: list[RunRecord]) -> Cell:
    """The mean score of these tasks. Its standard error takes their rows as independent of each other."""
    own = [[r.scores[task] for task in tasks] for r in records]
    errors = [float(np.sqrt(sum(s.standard_error**2 for s in scores))) / len(tasks) for scores in own]
    return _cell([float(np.mean([s.score for s in scores])) for scores in own], errors)


def _cell(values: list[float], errors: list[float]) -> Cell:
    spread = 100 * float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(100 * float(np.mean(values)), len(values), spread, 100 * float(np.mean(errors)))

"""From run records to comparisons: runs that differ in nothing but method, seed and budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.experiment.catalogue import methods
from benchmarks.experiment.methods import REFERENCES, beyond, order_for_display
from benchmarks.experiment.tuning import TUNED
from benchmarks.records.config import RunConfig, Setting, plain
from benchmarks.records.schema import FailureRecord, RunRecord
from benchmarks.suites import recorded_suite
from benchmarks.suites.spec import Suite
from benchmarks.words import plural

PLAIN = "lora"  # what others are measured against
# Under protocol paper, what each method's own script sets.
RELEASED = {"recipe": ("learning_rate", "warmup"), "backbone": ("max_length",), "answering": ("match",)}
FREE = ("method", "seed", "budget")  # what may differ between the runs of one comparison


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


@dataclass(frozen=True)
class Comparison:
    """Entries that were trained and scored alike. config: of one of the runs; all have it in common, but for what is
    ``FREE``."""

    config: RunConfig
    records: tuple[RunRecord, ...]
    entries: tuple[Entry, ...]
    rows: dict[str, tuple[int, int]]  # task -> training rows, scored rows
    majority: dict[str, float]
    groups: dict[str, list[str]]  # group -> its tasks
    caveats: list[str]
    unfinished: list[str]  # a sentence for each method and budget of which seeds diverged or failed

    @cached_property
    def suite(self) -> Suite:
        """The suite, as it was when this was measured."""
        return recorded_suite(self.records[0])

    @property
    def subject(self) -> str:
        """The suite, and in parentheses the protocol where that tunes: how much was tried is said by its name."""
        suite, protocol = self.config.suite, self.config.protocol
        return f"{suite} ({protocol})" if protocol in TUNED else suite

    @property
    def conflict(self) -> float | None:
        """The conflict between the tasks, where it can be set."""
        return self.config.conflict

    @property
    def pictures(self) -> str | None:
        """Which pictures the models saw, where tasks have any: their own or, as a control, those of other samples."""
        return self.config.pictures

    @property
    def budgets(self) -> list[int]:
        return sorted({entry.budget for entry in self.entries} - {0}) or [0]

    def at(self, budget: int) -> list[Entry]:
        """The entries of one budget, in display order, and the references that are of none."""
        return [entry for entry in self.entries if entry.budget in (budget, 0)]


def size(comparison: Comparison, budget: int) -> str:
    """The budget, or what stands in its place: where methods are as released, and where only references of none are."""
    if comparison.config.protocol == "paper":
        return "the released settings"
    if comparison.config.rank is not None:
        return f"rank {comparison.config.rank}, parameters unmatched"
    return f"{budget:,} adapter parameters" if budget else "no budget of adapters"


def compare(records: list[RunRecord], failures: Sequence[FailureRecord] = ()) -> list[Comparison]:
    """Group the records into comparisons, the largest first. Trials are in none: they only choose a learning rate.

    failures: counted beside what they would have belonged to.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.config.stage == "trial":
            continue
        groups.setdefault(_common(record.config), []).append(record)
    places = _places(records)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    unfinished: dict[str, list[FailureRecord]] = {}
    for failure in failures:
        unfinished.setdefault(_common(failure.config), []).append(failure)
    return [_comparison(_latest(group), unfinished.get(key, []), places) for key, group in ordered]


def _places(records: Sequence[RunRecord]) -> dict[str, int]:
    """Of the methods beyond the paper: those registered here come first, whatever the records hold."""
    registered = beyond(methods())
    others = beyond({record.config.method.name for record in records} - {*registered})
    return {name: place for place, name in enumerate([*registered, *others])}


def _latest(records: list[RunRecord]) -> list[RunRecord]:
    """Of the runs of an arm by several choices those by most trials: when a grid grows later, a rate is chosen anew."""

    def trials(record: RunRecord) -> int:
        return len(record.config.method.choice.trials) if record.config.method.choice else 0

    most: dict[tuple[str, int], int] = {}
    for record in records:
        arm = record.config.method.label, record.config.budget
        most[arm] = max(most.get(arm, 0), trials(record))
    return [r for r in records if trials(r) == most[r.config.method.label, r.config.budget]]


def common(config: RunConfig) -> dict[str, Any]:
    """What the runs of one comparison have in common, as JSON holds it; under protocol paper not what each script sets."""
    kept = {name: value for name, value in plain(_of_all(config)).items() if name not in FREE}
    if config.method.knob:
        kept["knob"] = True  # methods that had more tuned than their rates are compared with such alone
    if config.protocol == "paper":
        for part, names in RELEASED.items():
            kept[part] = {name: value for name, value in kept[part].items() if name not in names}
    return kept


def _released(config: RunConfig) -> dict[str, Setting] | None:
    """What the released scripts set for the method of a run alone, under the protocol that follows them."""
    if config.protocol != "paper":
        return None
    own = plain(config)
    return {name: own[part][name] for part, names in RELEASED.items() for name in names}


def _of_all(config: RunConfig) -> RunConfig:
    """With the recipe of all, also where the method has its own."""
    return replace(config, recipe=config.recipe.with_values(config.method.instead or {}))


def _common(config: RunConfig, *free: str) -> str:
    """The same as text, without what else may differ."""
    return json.dumps({name: value for name, value in common(config).items() if name not in free}, sort_keys=True)


def by_conflict(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """Those that differ in nothing but the conflict of their data, several at least, in its order; of data that differ in
    more at the same conflict the ones with most runs."""
    families = _families(comparisons, lambda config: _common(config, "conflict", "data"))
    largest = [{c.conflict: c for c in reversed(family) if c.conflict is not None} for family in families]
    return [[family[conflict] for conflict in sorted(family)] for family in largest if len(family) > 1]


def by_pictures(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """Those that differ in nothing but the pictures that the models saw, several at least, their own ones first."""

    def but_for_pictures(config: RunConfig) -> str:
        return _common(replace(config, answering=(config.answering or {}) | {"pictures": None}))

    families = [sorted(family, key=lambda c: c.pictures or "") for family in _families(comparisons, but_for_pictures)]
    return [family for family in families if family[0].pictures == "own"]


def _families(comparisons: list[Comparison], key: Callable[[RunConfig], str]) -> list[list[Comparison]]:
    families: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        families.setdefault(key(comparison.config), []).append(comparison)
    return [family for family in families.values() if len(family) > 1]


def of_pictures(family: list[Comparison], label: str, budget: int) -> Comparison:
    """One method at a budget as a comparison of its own: an entry for each kind of pictures that it saw."""
    entries = [
        replace(entry, label=str(comparison.pictures).replace("-", " "), reference=False)
        for comparison in family
        for entry in comparison.at(budget)
        if entry.label == label
    ]
    return replace(family[0], entries=tuple(entries), records=tuple(r for c in family for r in c.records))


def t_interval(spread: float, count: int) -> float:
    """Half of the 95% interval of a mean, from the standard deviation of ``count`` values."""
    return float(stats.t.ppf(0.975, count - 1)) * spread / count**0.5


def _comparison(records: list[RunRecord], failures: list[FailureRecord], places: dict[str, int]) -> Comparison:
    config = _of_all(records[0].config)
    labels = order_for_display({r.config.method.label for r in records})
    budgets = sorted({r.config.budget for r in records})
    groups: dict[str, list[str]] = {}
    for task in recorded_suite(records[0]).select(config.tasks):
        if task.group:
            groups.setdefault(task.group, []).append(task.name)
    entries = []
    for label in labels:
        for budget in budgets:
            own = [r for r in records if (r.config.budget, r.config.method.label) == (budget, label)]
            if own:
                entries.append(_entry(label, budget, places.get(own[0].config.method.name), config.tasks, groups, own))
    scores = records[0].scores
    return Comparison(
        config=config,
        records=tuple(records),
        entries=tuple(entries),
        rows={task: (scores[task].train_rows, scores[task].rows) for task in config.tasks},
        majority={task: 100 * scores[task].majority for task in config.tasks},
        groups=groups,
        caveats=_caveats(records),
        unfinished=_unfinished(records, failures),
    )


def _entry(
    label: str,
    budget: int,
    place: int | None,
    tasks: tuple[str, ...],
    groups: dict[str, list[str]],
    records: list[RunRecord],
) -> Entry:
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


def _unanswered(records: list[RunRecord]) -> float | None:
    if records[0].config.answer_mode not in ("generation", "vision-language"):
        return None
    rates = [s.unanswered / s.rows for r in records for s in r.scores.values() if s.unanswered is not None]
    return 100 * float(np.mean(rates)) if rates else None


def _unfinished(records: list[RunRecord], failures: list[FailureRecord]) -> list[str]:
    """Where runs diverged or failed: numbers of the others alone are numbers of those that went well."""
    ended: dict[tuple[str, int], list[RunRecord | FailureRecord]] = {}
    every: list[RunRecord | FailureRecord] = [*records, *failures]
    for record in every:
        ended.setdefault((record.config.method.label, record.config.budget), []).append(record)
    lines = []
    for (label, budget), own in ended.items():
        for status in ("diverged", "failed"):
            if count := sum(record.status == status for record in own):
                at = f" at {budget:,}" if budget else ""
                ended_so = f"{count} of {plural(len(own), 'seed')} {status}"
                lines.append(f"{label}{at}: {ended_so}; its numbers are of the others alone.")
    return lines


def _caveats(records: list[RunRecord]) -> list[str]:
    """Where the runs of a comparison were made under differing circumstances, or unclear ones."""
    surroundings = [r.environment for r in records]
    lines = []
    if any(r.source == "mirror" for r in records):
        lines.append("Data came from a mirror and may be subsets of the public sets: see the numbers of rows.")
    if any(s.git and s.git.dirty for s in surroundings):
        lines.append("Some of these runs were made from a checkout with uncommitted changes.")
    if not all(s.git for s in surroundings):
        lines.append("Some of these runs were made outside a checkout: the revision of their code is not known.")
    differing: dict[str, list[str | None]] = {
        "revisions of the code": [s.git.revision if s.git else None for s in surroundings],
        "package versions": [json.dumps(s.packages) for s in surroundings],
        "hardware": [s.hardware for s in surroundings],
    }
    for what, values in differing.items():
        if len(set(values)) > 1:
            lines.append(f"These runs were made with {len(set(values))} different {what}.")
    return lines


def _mean_of(tasks: Sequence[str], records: list[RunRecord]) -> Cell:
    """The mean score of these tasks. Its standard error takes their rows as independent of each other."""
    own = [[r.scores[task] for task in tasks] for r in records]
    errors = [float(np.sqrt(sum(s.standard_error**2 for s in scores))) / len(tasks) for scores in own]
    return _cell([float(np.mean([s.score for s in scores])) for scores in own], errors)


def _cell(values: list[float], errors: list[float]) -> Cell:
    spread = 100 * float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(100 * float(np.mean(values)), len(values), spread, 100 * float(np.mean(errors)))

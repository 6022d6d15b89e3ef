"""From run records to comparisons: runs that differ in nothing but method, seed and budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from benchmarks.experiment.catalogue import methods
from benchmarks.experiment.methods import beyond, order_for_display
from benchmarks.experiment.tuning import TUNED
from benchmarks.records.config import RunConfig, plain
from benchmarks.records.schema import FailureRecord, RunRecord
from benchmarks.suites import recorded_suite
from benchmarks.suites.spec import Suite
from reports.evidence.caveats import caveats, unfinished
from reports.evidence.entries import RELEASED, Entry, entry_of

PLAIN = "lora"  # what others are measured against
FREE = ("method", "seed", "budget")  # what may differ between the runs of one comparison


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
        groups.setdefault(common_text(record.config), []).append(record)
    places = _places(records)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    unfinished: dict[str, list[FailureRecord]] = {}
    for failure in failures:
        unfinished.setdefault(common_text(failure.config), []).append(failure)
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
    kept = {name: value for name, value in plain(of_all(config)).items() if name not in FREE}
    if config.method.knob:
        kept["knob"] = True  # methods that had more tuned than their rates are compared with such alone
    if config.protocol == "paper":
        for part, names in RELEASED.items():
            kept[part] = {name: value for name, value in kept[part].items() if name not in names}
    return kept


def of_all(config: RunConfig) -> RunConfig:
    """With the recipe of all, also where the method has its own."""
    return replace(config, recipe=config.recipe.with_values(config.method.instead or {}))


def common_text(config: RunConfig, *free: str) -> str:
    """The same as text, without what else may differ."""
    return json.dumps({name: value for name, value in common(config).items() if name not in free}, sort_keys=True)


def _comparison(records: list[RunRecord], failures: list[FailureRecord], places: dict[str, int]) -> Comparison:
    config = of_all(records[0].config)
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
                entries.append(entry_of(label, budget, places.get(own[0].config.method.name), config.tasks, groups, own))
    scores = records[0].scores
    return Comparison(
        config=config,
        records=tuple(records),
        entries=tuple(entries),
        rows={task: (scores[task].train_rows, scores[task].rows) for task in config.tasks},
        majority={task: 100 * scores[task].majority for task in config.tasks},
        groups=groups,
        caveats=caveats(records),
        unfinished=unfinished(records, failures),
    )

"""Where methods are compared: a suite at a budget, by one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.experiment.tuning import TUNED
from benchmarks.words import plural
from reports.evidence.comparison import PLAIN, Comparison
from reports.evidence.differences import Difference
from reports.evidence.significance import PairedTests

SUITES = ("nlu", "commonsense", "image-text", "ads")  # as in the paper; then others, generated data last
PROTOCOLS = (*TUNED, "matched", "paper")  # the one that counts first
REAL, CONFLICTING, AGREEING = "real tasks", "generated tasks that conflict", "generated tasks that conflict little"
HALF = 0.5  # the conflict above which tasks count as conflicting


@dataclass(frozen=True)
class Setting:
    """A comparison at a budget at which several methods are matched. name: the suite, and what was cut or set."""

    name: str
    comparison: Comparison
    budget: int
    tests: PairedTests

    @property
    def protocol(self) -> str:
        return self.comparison.config.protocol

    @property
    def seeds(self) -> str:
        """The fewest and the most of a method: 3, or 2 to 5."""
        counts = [len(entry.seeds) for entry in self.tests.matched]
        return " to ".join(map(str, sorted({min(counts), max(counts)})))

    def over_plain(self, method: str) -> list[Difference]:
        """Of a method, with whichever settings, against plain LoRA."""
        labels = [entry.label for entry in self.tests.matched if entry.name == method and entry.label != PLAIN]
        return [found for label in labels if (found := self.tests.difference(label, PLAIN))]


def several(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those of several methods at a budget, scored on test rows; not the controls."""
    own = [c for c in comparisons if c.config.split == "test" and c.pictures in (None, "own")]
    return [c for c in own if any(sum(not e.reference for e in c.at(budget)) > 1 for budget in c.budgets)]


def settings(comparisons: Sequence[Comparison], tests: Sequence[dict[int, PairedTests]]) -> list[Setting]:
    """Of comparisons in order, with their tests by budget."""
    return [
        Setting(name, comparison, budget, paired)
        for name, comparison, by_budget in zip(names(comparisons), comparisons, tests, strict=True)
        for budget, paired in by_budget.items()
        if len(paired.matched) > 1
    ]


def case(comparison: Comparison) -> str:
    """Real tasks, or generated ones by how much they conflict."""
    if comparison.conflict is None:
        return REAL
    return CONFLICTING if comparison.conflict > HALF else AGREEING


def by_case(settings: Sequence[Setting]) -> dict[tuple[str, str], list[Setting]]:
    """By protocol and case, in order."""
    found: dict[tuple[str, str], list[Setting]] = {}
    for protocol in dict.fromkeys(setting.protocol for setting in settings):
        for where in (REAL, CONFLICTING, AGREEING):
            own = [s for s in settings if s.protocol == protocol and case(s.comparison) == where]
            if own:
                found[protocol, where] = own
    return found


def place(comparison: Comparison) -> tuple[Any, ...]:
    """Where a comparison stands: by protocol, suite and conflict, then those with most runs first."""
    protocol, suite, conflict = comparison.config.protocol, comparison.config.suite, comparison.conflict
    return (
        PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS),
        conflict is not None,
        SUITES.index(suite) if suite in SUITES else len(SUITES),
        suite,
        conflict or 0,
        -len(comparison.records),
    )


def names(comparisons: Sequence[Comparison]) -> list[str]:
    """Of each its suite, and what was cut or set; where that is alike, as much of what else differs as tells them apart."""
    briefs, details = [brief(c) for c in comparisons], [_details(c) for c in comparisons]
    found = []
    for name, of_this in zip(briefs, details, strict=True):
        alike, parts = [other for other, same in zip(details, briefs, strict=True) if same == name], [name]
        for key, value in of_this.items():
            if any(other[key] != value for other in alike):
                parts.append(value)
                alike = [other for other in alike if other[key] == value]
        found.append(", ".join(parts))
    return [name if found.count(name) == 1 else f"{name} ({found[:i].count(name) + 1})" for i, name in enumerate(found)]


def brief(comparison: Comparison) -> str:
    """Suite, and what was cut or set."""
    rows, conflict = comparison.config.max_train, comparison.conflict
    parts = [comparison.config.suite]
    parts += [f"{rows:,} rows per task"] if rows else []
    parts += [f"conflict {conflict:g}"] if conflict is not None else []
    return ", ".join(parts)


def _details(comparison: Comparison) -> dict[str, str]:
    config = comparison.config
    return {
        "protocol": f"protocol {config.protocol}",
        "backbone": config.backbone.id.rpartition("/")[2],
        "base": f"base in {config.backbone.quantise or 'full'}",
        "rate": "released rates" if config.protocol == "paper" else f"learning rate {config.recipe.learning_rate:g}",
        "epochs": plural(config.recipe.epochs, "epoch"),
        "answering": config.answer_mode,
        "tasks": plural(len(config.tasks), "task"),
        "pictures": f"pictures {comparison.pictures}",
        "split": f"split {config.split}",
    }

"""Comparisons that differ in one thing: the conflict of their data, or the pictures that models saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.records.config import RunConfig
from reports.evidence.comparison import Comparison, common_text


def by_conflict(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """Those that differ in nothing but the conflict of their data, several at least, in its order; of data that differ in
    more at the same conflict the ones with most runs."""
    families = _families(comparisons, lambda config: common_text(config, "conflict", "data"))
    largest = [{c.conflict: c for c in reversed(family) if c.conflict is not None} for family in families]
    return [[family[conflict] for conflict in sorted(family)] for family in largest if len(family) > 1]


def by_pictures(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """Those that differ in nothing but the pictures that the models saw, several at least, their own ones first."""

    def but_for_pictures(config: RunConfig) -> str:
        return common_text(replace(config, answering=(config.answering or {}) | {"pictures": None}))

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

"""The short form, for a terminal: nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.records.schema import RunRecord
from mtl_lora.errors import InvalidInput, unknown
from reports.evidence.comparison import Comparison, compare
from reports.evidence.differences import checked
from reports.evidence.results import Results
from reports.evidence.settings import Setting, place, settings, several
from reports.evidence.significance import paired_tests
from reports.overview import short
from reports.tables.significance import p_value
from reports.tables.table import Table


def print_short(folder: Path, suite: str | None, protocol: str | None, margin: float) -> None:
    """What the records of a suite, by a protocol, answer: a row per setting, then sentences."""
    print(short(_settings(folder, lambda records: _compared(records, suite, protocol), margin), margin))


def print_comparison(folder: Path, first: str, second: str, suite: str | None, protocol: str | None, margin: float) -> None:
    """Everywhere that two methods, or references, have seeds in common: the first over the second, and the verdict."""

    def of_both(records: list[RunRecord]) -> list[Comparison]:
        there = _compared(records, suite, protocol)
        labels = list(dict.fromkeys(entry.label for comparison in there for entry in comparison.entries))
        for label in (first, second):
            if label not in labels:
                raise unknown("method", label, labels)
        return [c for c in there if {first, second} <= {entry.label for entry in c.entries}]

    found = _settings(folder, of_both, margin)
    rows = [row for setting in found for row in _row(setting, first, second)]
    if not rows:
        raise InvalidInput(f"{first} and {second} have no seed in common anywhere, or are the same or both references")
    head = ["suite", "protocol", "budget", f"{first} over {second}", "verdict", "p", "improvement", "seeds"]
    print(Table("comparison", "", [*head, "would probably decide it"], rows).plain())


def _row(setting: Setting, first: str, second: str) -> list[list[str]]:
    found = setting.tests.difference(first, second)
    if found is None:
        return []
    own = [setting.name, setting.protocol, f"{setting.budget:,}", str(found), found.verdict, p_value(found.p)]
    return [[*own, f"{found.improvement:.2f}", str(found.seeds), str(found.plan or "")]]


def _settings(folder: Path, chosen: Callable[[list[RunRecord]], list[Comparison]], margin: float) -> list[Setting]:
    """Of the comparisons that are chosen of the records of a folder; what others answered is not read."""
    checked(margin)
    results = Results(folder, lambda records: [run for comparison in chosen(records) for run in comparison.records])
    comparisons = chosen(results.records)
    return settings(comparisons, [paired_tests(comparison, results, margin) for comparison in comparisons])


def _compared(records: list[RunRecord], suite: str | None, protocol: str | None) -> list[Comparison]:
    """Where several methods are compared, on a suite and by a protocol; everywhere where none is given."""
    kept = several(sorted(compare(records), key=place))
    return _kept(_kept(kept, "suite", suite), "protocol", protocol)


def _kept(comparisons: Sequence[Comparison], part: str, wanted: str | None) -> list[Comparison]:
    """Those whose suite or protocol is the wanted one; all where none is."""
    there = list(dict.fromkeys(getattr(comparison.config, part) for comparison in comparisons))
    if wanted is not None and wanted not in there:
        raise unknown(part, wanted, there)
    return [comparison for comparison in comparisons if wanted in (None, getattr(comparison.config, part))]

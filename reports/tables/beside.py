"""Two folders of results side by side: the same settings measured twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from reports.evidence.comparison import Comparison, common
from reports.evidence.entries import Entry
from reports.tables.table import Table, Text

NOTES = (
    "Measured here and there in the same way: all of the configuration is the same but method, budget and seed. Here less "
    "there: of means over all seeds, with Welch's 95% interval, neither paired nor corrected; none with one seed. Bold: it "
    "leaves 0 out.",
)


def beside_tables(here: Sequence[Comparison], there: Sequence[Comparison]) -> Iterator[Table]:
    """A table for each comparison that both have: a row per method and budget, their scores and the difference."""
    others = {_key(comparison): comparison for comparison in there}
    for number, comparison in enumerate(here, 1):
        other = others.get(_key(comparison))
        rows = list(_rows(comparison, other)) if other else []
        if rows:
            head = ["method", "budget", "here", "there", "here less there", "seeds here", "seeds there"]
            title = f"{comparison.config.suite}, protocol {comparison.config.protocol}: here and there"
            yield Table(f"beside-{number}", title, head, rows, NOTES)


def _rows(comparison: Comparison, other: Comparison) -> Iterator[list[Text | str]]:
    entries = {(entry.label, entry.budget): entry for entry in other.entries}
    for entry in comparison.entries:
        twin = entries.get((entry.label, entry.budget))
        if twin:
            score, counts = Text(str(entry.score), runs=tuple(entry.runs.values())), (len(entry.seeds), len(twin.seeds))
            yield [entry.label, f"{entry.budget:,}", score, str(twin.score), _difference(entry, twin), *map(str, counts)]


def _difference(entry: Entry, twin: Entry) -> Text:
    if entry.runs == twin.runs:
        return Text("the same runs")
    mine, theirs = [*entry.by_seed.values()], [*twin.by_seed.values()]
    mean = float(np.mean(mine) - np.mean(theirs))
    if min(len(mine), len(theirs)) < 2 or not np.std(mine) + np.std(theirs):
        return Text(f"{mean:+.1f}")
    interval = stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval()
    half = (interval.high - interval.low) / 2
    return Text(f"{mean:+.1f} ± {half:.1f}", abs(mean) > half)


def _key(comparison: Comparison) -> str:
    return json.dumps(common(comparison.config), sort_keys=True)

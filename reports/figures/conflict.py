"""Scores against the conflict between tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.experiment.methods import order_for_display
from reports.evidence.comparison import PLAIN, Comparison
from reports.evidence.entries import Entry
from reports.evidence.significance import PairedTests
from reports.figures.style import PARAMETERS, STYLES, Figure, bars, save, short, style, subject


def conflict_against_score(family: list[Comparison], tests: dict[int, list[PairedTests]], folder: Path, name: str) -> Figure:
    """The conflict of the data against the suite's score, a panel per budget; below, the advantage over plain LoRA.

    tests: by budget, in the order of the family. Bars: 95% intervals.
    """
    budgets = [*tests]
    shape: dict[str, Any] = {"figsize": (1 + 3.8 * len(budgets), 7.0), "squeeze": False, "constrained_layout": True}
    with plt.rc_context(PARAMETERS):
        figure, panels = plt.subplots(2, len(budgets), sharex=True, sharey="row", **shape)
        for column, budget in enumerate(budgets):
            upper, lower = panels[:, column]
            _across(upper, family, tests[budget], lambda _, entry: (entry.score.mean, entry.score.interval))
            _across(lower, family, tests[budget], _advantage)
            lower.axhline(0, color=STYLES[PLAIN][0], linewidth=1.5)
            upper.set_title(f"{short(budget)} adapter parameters")
            lower.set_xlabel("conflict between the tasks")
            lower.set_xticks([comparison.conflict for comparison in family])
        panels[0, 0].set_ylabel("mean score of the suite (%)")
        panels[1, 0].set_ylabel("advantage over plain LoRA (points)")
        shown: dict[str, Any] = {}  # a method may be missing from a panel
        for panel in panels[0]:
            shown |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        labels = order_for_display(shown)
        place = {"loc": "outside lower center", "ncols": min(len(labels), 4)}
        figure.legend([shown[label] for label in labels], labels, frameon=False, **place)
        caption = (
            f"Conflict of the data against the mean score (above) and the advantage over plain LoRA (below): "
            f"{subject(family[0], conflict=False)}; {bars(family[0])}. Above the line at 0 a method is ahead of plain LoRA."
        )
        return save(figure, folder, name, caption)


def _advantage(paired: PairedTests, entry: Entry) -> tuple[float, float] | None:
    found = paired.difference(entry.label, PLAIN)
    return (found.value, found.half) if found else None


def _across(
    axes: Axes,
    family: list[Comparison],
    tests: list[PairedTests],
    value: Callable[[PairedTests, Entry], tuple[float, float] | None],
) -> None:
    """A line per method over the conflicts of a family, where the value is known."""
    lines: dict[str, list[tuple[float, float, float, Entry]]] = {}
    for comparison, paired in zip(family, tests, strict=True):
        for entry in paired.entries:
            found = value(paired, entry)
            if found and comparison.conflict is not None:
                lines.setdefault(entry.label, []).append((comparison.conflict, *found, entry))
    for points in lines.values():
        conflicts, means, halves, entries = zip(*points, strict=True)
        axes.errorbar(conflicts, means, yerr=halves, **style(entries[0]))
    axes.grid(alpha=0.3)

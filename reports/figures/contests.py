"""Who beats whom: every pair of methods at a budget."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from reports.evidence.comparison import Comparison
from reports.evidence.differences import Difference
from reports.evidence.entries import Entry
from reports.evidence.significance import PairedTests
from reports.figures.style import PARAMETERS, Figure, save, short, subject


def wins(comparison: Comparison, tests: dict[int, PairedTests], folder: Path, name: str) -> Figure:
    """Who beats whom: a matrix per budget, the row's method over the column's in points, bold where significant."""
    budgets = [budget for budget, paired in tests.items() if len(paired.matched) > 1]
    matched = [tests[budget].matched for budget in budgets]
    with plt.rc_context(PARAMETERS):
        figure, panels = plt.subplots(
            1, len(budgets), figsize=(1.2 + 4.4 * len(budgets), 4.4), squeeze=False, constrained_layout=True
        )
        tables = [_differences(tests[b], entries) for b, entries in zip(budgets, matched, strict=True)]
        limit = max(1.0, *(np.nanmax(np.abs(table), initial=0) for table in tables))
        for axes, budget, entries, table in zip(panels.flat, budgets, matched, tables, strict=True):
            significant = np.array([[bool(c and c.significant) for c in row] for row in _contests(tests[budget], entries)])
            image = axes.imshow(np.where(significant, table, np.nan), cmap="PuOr_r", vmin=-limit, vmax=limit)
            several = len({entry.name for entry in entries}) < len(entries)
            labels = [entry.label if several else entry.name for entry in entries]
            axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
            axes.set_yticks(range(len(labels)), labels if budget == budgets[0] else [])
            axes.set_title(f"{short(budget)} adapter parameters")
            _write_contests(axes, tests[budget], entries, limit)
        figure.colorbar(image, ax=panels, label="row over column (points)", shrink=0.8)
        caption = (
            f"Multi-comparison matrix of {subject(comparison)}: mean score of the row's method over the column's in points; "
            "coloured, bold and with a star where significant; below it on how many tasks the row scored higher and lower."
        )
        return save(figure, folder, name, caption)


def _differences(paired: PairedTests, entries: list[Entry]) -> np.ndarray:
    rows = _contests(paired, entries)
    return np.array([[found.value if found else np.nan for found in row] for row in rows])


def _contests(paired: PairedTests, entries: list[Entry]) -> list[list[Difference | None]]:
    return [[paired.difference(a.label, b.label) for b in entries] for a in entries]


def _write_contests(axes: Axes, paired: PairedTests, entries: list[Entry], limit: float) -> None:
    for row, first in enumerate(entries):
        for column, second in enumerate(entries):
            found = paired.difference(first.label, second.label)
            if found is None:
                continue
            of_tasks = [paired.difference(first.label, second.label, task) for task in first.tasks]
            by_task = [difference.value for difference in of_tasks if difference]
            star, weight = ("*", "bold") if found.significant else ("", "normal")
            text = f"{found.value:+.1f}{star}\n{sum(d > 0 for d in by_task)}:{sum(d < 0 for d in by_task)}"
            colour = "white" if found.significant and abs(found.value) > 0.6 * limit else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=9, weight=weight, color=colour)

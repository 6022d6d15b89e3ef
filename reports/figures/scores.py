"""Figures of scores: against parameters, against conflict, and who beats whom."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.experiment.methods import order_for_display
from reports.evidence.comparison import PLAIN, Cell, Comparison, Entry
from reports.evidence.differences import Difference
from reports.evidence.significance import PairedTests
from reports.figures.style import (
    PARAMETERS,
    STYLES,
    Figure,
    bars,
    label_curves,
    label_rows,
    look,
    save,
    short,
    style,
    subject,
)

COLUMNS = 4  # panels side by side


def parameters_against_score(comparison: Comparison, folder: Path, name: str) -> Figure:
    """Trained adapter parameters (log axis) against the suite's score, a line per method, and the Pareto front.

    Bars: 95% intervals, over seeds where there are several, else over scored rows. References of no budget are lines across.
    """
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.6, 4.6), constrained_layout=True)
        _curves(axes, comparison, lambda entry: entry.score)
        for entry in comparison.entries:
            if entry.budget:
                seeds = [*entry.by_seed.values()]
                axes.scatter([entry.parameters] * len(seeds), seeds, s=12, color=look(entry)[0], alpha=0.5, linewidths=0)
        label_curves(axes, "trained adapter parameters", "mean score of the suite (%)")
        caption = (
            f"Trained parameters against the mean score of {subject(comparison)}: the higher and further left the better. "
            f"A line is a method, a dot a seed; {bars(comparison)}. Ringed, on the grey line: the Pareto front."
        )
        return save(figure, folder, name, caption, f"{caption} {_highest(comparison)}")


def scores_of_seeds(comparison: Comparison, folder: Path, name: str) -> Figure:
    """At one budget: a row per method, its seeds as dots, their mean with its 95% interval, and the majority baseline."""
    entries = comparison.entries
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.6, 1.1 + 0.32 * len(entries)), constrained_layout=True)
        for y, entry in enumerate(entries):
            colour, marker = look(entry)
            bar: dict[str, Any] = {
                "xerr": entry.score.interval,
                "color": colour,
                "marker": marker,
                "capsize": 3,
                "linewidth": 1.5,
            }
            axes.errorbar(entry.score.mean, y, **bar)
            seeds = [*entry.by_seed.values()]
            axes.scatter(seeds, [y + 0.25] * len(seeds), s=14, color=colour, alpha=0.6, linewidths=0)
        majority = sum(comparison.majority.values()) / len(comparison.majority)
        axes.axvline(majority, color="#777777", linestyle=":", linewidth=1.5)
        axes.text(majority, -0.55, " majority baseline", fontsize=9, color="#555555", va="bottom")
        names = [f"{entry.label} ({short(entry.parameters)})" for entry in entries]
        label_rows(axes, names, "mean score of the suite (%)")
        caption = (
            f"Mean score of {subject(comparison)} by method, with its trained adapter parameters; small dots: seeds; "
            f"{bars(comparison)}. Where bars of two methods overlap widely, do not trust their order."
        )
        return save(figure, folder, name, caption, f"{caption} {_highest(comparison)}")


def _highest(comparison: Comparison) -> str:
    """Who has the highest mean at each budget."""
    best = {budget: max(comparison.at(budget), key=lambda e: e.score.mean) for budget in comparison.budgets}
    told = [f"{entry.label} ({entry.score}) at {short(budget)}" for budget, entry in best.items()]
    return f"Highest mean: {'; '.join(told)}."


def parameters_against_tasks(comparison: Comparison, folder: Path, name: str) -> Figure:
    """The same for each task, or each group of tasks where the suite has groups: a panel each."""
    groups = comparison.groups
    names = [*groups] if groups else [*comparison.majority]
    rows = -(-len(names) // COLUMNS)
    with plt.rc_context(PARAMETERS):
        figure, panels = plt.subplots(
            rows, min(COLUMNS, len(names)), figsize=(12, 0.9 + 2.7 * rows), squeeze=False, constrained_layout=True
        )
        for axes, task in zip(panels.flat, names, strict=False):
            _curves(axes, comparison, partial(_cell_of, task, bool(groups)))
            axes.set_title(task)
        for axes in panels.flat[len(names) :]:
            axes.set_axis_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("score (%)")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=4)
        caption = f"Trained parameters against the score of each task of {subject(comparison)}; {bars(comparison)}."
        return save(figure, folder, name, caption)


def pareto_front(points: list[tuple[int, float]]) -> list[int]:
    """Places of the points (budget, score) that no other one beats: none has no greater budget and a higher score, or a
    smaller budget and as high a one."""
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def _cell_of(task: str, groups: bool, entry: Entry) -> Cell:
    """A method's score on a task, or on a group of tasks."""
    return (entry.groups if groups else entry.tasks)[task]


def _curves(axes: Axes, comparison: Comparison, value: Callable[[Entry], Cell]) -> None:
    if len(comparison.budgets) > 1:
        matched = [e for e in comparison.entries if e.budget and not e.reference]
        best = [matched[place] for place in pareto_front([(e.budget, value(e).mean) for e in matched])]
        front = [e.parameters for e in best], [value(e).mean for e in best]
        axes.plot(*front, color="#BBBBBB", linewidth=6, zorder=0, solid_capstyle="round")
        axes.scatter(*front, s=150, facecolors="none", edgecolors="#777777", linewidths=1.2, zorder=3)
    for entries in _lines(comparison):
        cells = [value(entry) for entry in entries]
        if entries[0].budget:
            axes.errorbar(
                [entry.parameters for entry in entries],
                [cell.mean for cell in cells],
                yerr=[cell.interval for cell in cells],
                **style(entries[0]),
            )
        else:
            label = f"{entries[0].label} ({short(entries[0].parameters)})"
            colour, cell = style(entries[0])["color"], cells[0]
            axes.axhline(cell.mean, color=colour, linestyle=":", linewidth=1.5, label=label)
            axes.axhspan(cell.mean - cell.interval, cell.mean + cell.interval, color=colour, alpha=0.1, linewidth=0)
    places = sorted({*comparison.budgets} | {e.parameters for e in comparison.entries if e.reference and e.budget})
    if len(places) > 1:
        axes.set_xscale("log")
        apart = [place for i, place in enumerate(places) if not i or place > 1.3 * places[i - 1]]
        axes.xaxis.set_major_locator(FixedLocator(apart))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: short(count)))
    axes.tick_params(axis="x", labelrotation=45)
    axes.grid(alpha=0.3)


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


def _lines(comparison: Comparison) -> list[list[Entry]]:
    labels = dict.fromkeys(entry.label for entry in comparison.entries)
    return [[entry for entry in comparison.entries if entry.label == label] for label in labels]

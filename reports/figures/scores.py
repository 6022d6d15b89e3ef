"""Figures of scores: against parameters, and seed by seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.evidence.comparison import Comparison
from reports.evidence.entries import Cell, Entry
from reports.figures.style import (
    PARAMETERS,
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


def _lines(comparison: Comparison) -> list[list[Entry]]:
    labels = dict.fromkeys(entry.label for entry in comparison.entries)
    return [[entry for entry in comparison.entries if entry.label == label] for label in labels]

"""Plots of comparisons."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

from benchmarks.plan import order_for_display
from reports.comparison import Comparison, Entry, advantage

# One look a method, everywhere: colours of Okabe and Ito that the colour-blind tell apart, and a marker of its own.
STYLES = {
    "lora": ("#0072B2", "o"),
    "dora": ("#56B4E9", "s"),
    "multilora": ("#E69F00", "D"),
    "moelora": ("#009E73", "^"),
    "mtl-lora": ("#D55E00", "v"),
    "heads-only": ("#999999", "x"),
    "lora-per-task": ("#000000", "P"),
    "full": ("#666666", "*"),
}
OTHER = ("#CC79A7", "X")


def _style(entry: Entry) -> dict:
    colour, marker = STYLES.get(entry.name, OTHER)
    line = "--" if entry.reference else "-"
    return {"color": colour, "marker": marker, "linestyle": line, "label": entry.label, "capsize": 3, "linewidth": 1.4}


def parameters_against_score(comparison: Comparison, path: Path) -> None:
    """Trained adapter parameters (log axis) against the suite's score, a line a method over its budgets.

    Bars: 95% intervals, over seeds where there are several, else over scored rows. References stand at the budget they were
    given, those of no budget as lines across.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.4), constrained_layout=True)
    for entries in _lines(comparison):
        points = [(e.budget if e.reference else e.parameters, e.score) for e in entries]
        if entries[0].budget:
            axes.errorbar(
                [parameters for parameters, _ in points],
                [score.mean for _, score in points],
                yerr=[score.interval for _, score in points],
                **_style(entries[0]),
            )
        else:
            style = _style(entries[0])
            label = f"{entries[0].label} ({_short(entries[0].parameters)})"
            axes.axhline(points[0][1].mean, color=style["color"], linestyle=":", linewidth=1.4, label=label)
    if len(comparison.budgets) > 1:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(comparison.budgets))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("trained adapter parameters")
    axes.set_ylabel("mean score of the suite (%)")
    figure.suptitle(f"{subject(comparison)}\n{_bars(comparison)}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def conflict_against_score(family: list[Comparison], path: Path) -> None:
    """The conflict of the data against the suite's score, a panel a budget; below, the advantage over plain LoRA.

    The advantage is taken seed by seed. Bars: 95% intervals.
    """
    budgets = family[0].budgets
    shape = {"figsize": (1 + 3.6 * len(budgets), 6.6), "squeeze": False, "constrained_layout": True}
    figure, panels = plt.subplots(2, len(budgets), sharex=True, sharey="row", **shape)
    for column, budget in enumerate(budgets):
        upper, lower = panels[:, column]
        _across(upper, family, budget, lambda entry, _: entry.score)
        _across(lower, family, budget, lambda entry, lora: advantage(entry, lora))
        lower.axhline(0, color=STYLES["lora"][0], linewidth=1.4)
        upper.set_title(f"{_short(budget)} adapter parameters", fontsize=10)
        lower.set_xlabel("conflict between the tasks")
        lower.set_xticks([comparison.conflict for comparison in family])
    panels[0, 0].set_ylabel("mean score of the suite (%)")
    panels[1, 0].set_ylabel("advantage over plain LoRA (points)")
    shown = {}  # a method may be missing from a panel
    for panel in panels[0]:
        shown |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    labels = order_for_display(shown)
    place = {"loc": "outside lower center", "ncols": min(len(labels), 4)}
    figure.legend([shown[label] for label in labels], labels, frameon=False, fontsize=8, **place)
    figure.suptitle(f"{subject(family[0], conflict=False)}\n{_bars(family[0])}", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _across(axes: Axes, family: list[Comparison], budget: int, value) -> None:
    """A line a method over the conflicts of a family; without plain LoRA where its own difference would be shown."""
    lines: dict[str, list] = {}
    for comparison in family:
        entries = {entry.label: entry for entry in comparison.at(budget)}
        for label, entry in entries.items():
            if "lora" in entries:
                lines.setdefault(label, []).append((comparison.conflict, value(entry, entries["lora"]), entry))
    for points in lines.values():
        cells = [cell for _, cell, _ in points]
        if all(cell.mean == 0 and cell.spread in (0, None) for cell in cells):
            continue
        places = [conflict for conflict, _, _ in points]
        axes.errorbar(places, [c.mean for c in cells], yerr=[c.interval for c in cells], **_style(points[0][2]))
    axes.grid(alpha=0.3)


def _lines(comparison: Comparison) -> list[list[Entry]]:
    labels = dict.fromkeys(entry.label for entry in comparison.entries)
    return [[entry for entry in comparison.entries if entry.label == label] for label in labels]


def subject(comparison: Comparison, conflict: bool = True) -> str:
    """Suite, backbone and conflict."""
    name = f"{comparison.config['suite']} on {comparison.config['backbone']['id']}"
    return name + (f", conflict {comparison.conflict:g}" if conflict and comparison.conflict is not None else "")


def _bars(comparison: Comparison) -> str:
    seeds = sorted({len(entry.seeds) for entry in comparison.entries})
    several = [f"over {' or '.join(str(count) for count in seeds if count > 1)} seeds"] * (seeds[-1] > 1)
    single = ["over scored rows where there is one seed"] * (seeds[0] == 1)
    return f"bars: 95% intervals {', '.join(several + single)}"


def _short(count: int) -> str:
    return EngFormatter(sep="", places=0)(count)

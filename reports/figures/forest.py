"""The first figure: every method against plain LoRA, wherever they were compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.experiment.methods import order_for_display
from reports.evidence.differences import VERDICTS as KINDS
from reports.evidence.settings import Setting
from reports.figures.style import PARAMETERS, VERDICTS, Figure, save, short

ROW, PAD = 0.2, 0.12  # inches; browsers set names a little wider than matplotlib does
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)


def forest(settings: Sequence[Setting], first: str, folder: Path, name: str) -> Figure:
    """A row per setting, a panel per method, ``first`` in front: its difference to plain LoRA at equal parameters.

    Protocols stand apart. The axis is linear near 0 and logarithmic beyond.
    """
    methods = order_for_display({e.name for s in settings for e in s.tests.matched if s.over_plain(e.name)})
    methods = sorted(methods, key=lambda method: method != first)
    rows, heads = _rows(settings)
    margin = settings[0].tests.margin
    with plt.rc_context(PARAMETERS | {"font.size": 9, "axes.titlesize": 10, "figure.constrained_layout.w_pad": PAD}):
        size = (3.2 + 2.1 * len(methods), 0.9 + ROW * (len(rows) + len(heads)))
        figure, panels = plt.subplots(1, len(methods), figsize=size, sharey=True, squeeze=False, constrained_layout=True)
        for axes, method in zip(panels[0], methods, strict=True):
            for y, setting in rows.items():
                _points(axes, y, setting, method)
            axes.axvspan(-margin, margin, color="#0072B2", alpha=0.12, linewidth=0)
            axes.axvline(0, color="black", linewidth=0.8)
            axes.set_xscale("asinh", linear_width=2 * margin)
            axes.set_xticks(TICKS, [f"{tick:+d}" if tick else "0" for tick in TICKS], fontsize=7)
            axes.set_title(method, fontweight="bold" if method == first else "normal")
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", alpha=0.2)
        limit = max(abs(end) for axes in panels[0] for end in axes.get_xlim())
        for axes in panels[0]:
            axes.set_xlim(-limit, limit)
        labels = {y: f"{s.name}, {short(s.budget) if s.budget else 'as released'}" for y, s in rows.items()}
        marks = labels | {y: f"protocol {head}" for y, head in heads.items()}
        panels[0, 0].set_yticks([*marks], [*marks.values()])
        for y, text in zip(marks, panels[0, 0].get_yticklabels(), strict=True):
            text.set_fontweight("bold" if y in heads else "normal")
        panels[0, 0].set_ylim(len(rows) + len(heads) - 0.4, -0.6)
        shown = [Line2D([], [], color=VERDICTS[kind][0], marker=VERDICTS[kind][1], label=kind) for kind in KINDS]
        shown[-1].set_markerfacecolor("white")
        figure.legend(handles=shown, loc="outside upper left", ncols=4, frameon=False)
        figure.supxlabel("points over plain LoRA at equal parameters, with 95% interval; shaded: the margin", fontsize=9)
        caption = (
            f"Each method against plain LoRA at equal parameters: right of 0 it scores higher. Bars: 95% intervals; shaded: "
            f"the margin of {margin:g} within which methods are called equivalent; after the suite its adapter parameters."
        )
        return save(figure, folder, name, caption, _alt(settings, methods))


def _rows(settings: Sequence[Setting]) -> tuple[dict[int, Setting], dict[int, str]]:
    """By height: settings, and before the first of each protocol its name."""
    rows: dict[int, Setting] = {}
    heads: dict[int, str] = {}
    for setting in settings:
        protocol = setting.protocol
        if protocol not in heads.values():
            heads[len(rows) + len(heads)] = protocol
        rows[len(rows) + len(heads)] = setting
    return rows, heads


def _points(axes: Axes, y: int, setting: Setting, method: str) -> None:
    differences = setting.over_plain(method)
    for i, found in enumerate(differences):
        colour, marker = VERDICTS[found.verdict]
        height = y + 0.5 * ((i + 0.5) / len(differences) - 0.5)
        filled = colour if found.verdict != KINDS[-1] else "white"
        axes.errorbar(
            found.value,
            height,
            xerr=found.half,
            color=colour,
            marker=marker,
            markersize=5,
            markerfacecolor=filled,
            linewidth=1.2,
        )


def _alt(settings: Sequence[Setting], methods: Sequence[str]) -> str:
    """How often each method came out how."""
    lines = []
    for method in methods:
        counts = Counter(found.verdict for setting in settings for found in setting.over_plain(method))
        told = ", ".join(f"{kind} in {counts[kind]}" for kind in KINDS if counts[kind])
        lines.append(f"{method} against plain LoRA is {told} of {counts.total()} comparisons")
    return "; ".join(lines) + "."

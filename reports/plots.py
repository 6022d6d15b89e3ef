"""Plots of a comparison."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, NullFormatter

from reports.comparison import Comparison

MARKERS = "osD^vP*X"


def parameters_against_score(comparison: Comparison, path: Path) -> None:
    """Trained adapter parameters (log axis) against the suite's score, a line a method over its budgets.

    Bars: standard deviation over seeds where there are several, else the standard error over scored rows.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), constrained_layout=True)
    labels = list(dict.fromkeys(entry.label for entry in comparison.entries))
    for number, label in enumerate(labels):
        points = [(e.parameters, e.score) for e in comparison.entries if e.label == label]
        axes.errorbar(
            [parameters for parameters, _ in points],
            [score.mean for _, score in points],
            yerr=[score.error if score.spread is None else score.spread for _, score in points],
            label=label,
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
            linewidth=1.2,
        )
    axes.set_xscale("log")
    smallest = min(e.parameters for e in comparison.entries)
    largest = max(e.parameters for e in comparison.entries)
    if largest < 3 * smallest:  # one budget: spread the points over the axis
        axes.set_xscale("linear")
        axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("trained adapter parameters")
    axes.set_ylabel("mean score of the suite (%)")
    seeds = {entry.score.spread is None for entry in comparison.entries}
    kinds = {False: "standard deviation over seeds", True: "standard error over scored rows (one seed)"}
    bars = " or ".join(kinds[one] for one in sorted(seeds))
    axes.set_title(f"{comparison.config['suite']} on {comparison.config['backbone']['id']}\nbars: {bars}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)

"""Figures of tuning: score against learning rate, what fewer trials would have found, and what tuning is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from reports.evidence.tuning import Tuned
from reports.figures.style import PARAMETERS, Figure, label_curves, label_rows, look, save


def score_against_rate(arms: Sequence[Tuned], about: str, folder: Path, name: str) -> Figure:
    """A curve per method through its means over tuning seeds, a dot per seed, and a ring around the chosen rate."""
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.6, 4.6), constrained_layout=True)
        for arm in arms:
            colour, marker = look(arm.entry)
            line = "--" if arm.entry.reference else "-"
            own = [candidate for candidate in arm.seeds if candidate.value == arm.choice.value]
            rates, means = [c.learning_rate for c in own], [arm.means.get(c, math.nan) for c in own]
            axes.plot(rates, means, line, color=colour, marker=marker, label=arm.label)
            for candidate in own:
                scores = arm.seeds[candidate]
                axes.scatter([candidate.learning_rate] * len(scores), scores, s=12, color=colour, alpha=0.5, linewidths=0)
            axes.scatter(arm.rate, arm.dev_score, s=150, facecolors="none", edgecolors=colour, linewidths=1.5, zorder=3)
        tried = sorted({candidate.learning_rate for arm in arms for candidate in arm.seeds})
        axes.set_xscale("log")
        axes.set_xticks(tried, [f"{rate:g}" for rate in tried], rotation=90, fontsize=9)
        axes.minorticks_off()
        axes.grid(axis="x", alpha=0.2)
        label_curves(axes, "learning rate", "mean dev score of the suite (%)")
        caption = (
            f"Learning rate against the mean dev score of {about}: how wide is the good range, and where does a method "
            "collapse? A line is a method's mean over tuning seeds, a dot a seed, a ring the chosen rate (of "
            "rates within one standard error of the best the lowest); a gap: diverged."
            + (" By halving, the better rates have more seeds." if arms[0].choice.budget else "")
        )
        chosen = "; ".join(f"{arm.entry.label} {arm.chosen} ({arm.dev_score:.1f})" for arm in arms)
        return save(figure, folder, name, caption, f"{caption} Chosen: {chosen}.")


def best_of(arms: Sequence[Tuned], about: str, folder: Path, name: str) -> Figure:
    """Rates tried against the expected dev score of the best of them."""
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.6, 4.2), constrained_layout=True)
        tried = "rates, each with a value of the knob," if arms[0].knob else "learning rates"
        for arm in arms:
            colour, marker = look(arm.entry)
            counts = range(1, len(arm.seeds) + 1)
            line = "--" if arm.entry.reference else "-"
            axes.plot(counts, [arm.best_of(k) for k in counts], line, color=colour, marker=marker, label=arm.entry.label)
        label_curves(axes, f"{tried} tried", "dev score of the best of them (%)")
        caption = (
            f"What k {tried}, taken at random from the grid, would have found: the expected dev score of the best of "
            f"them, {about}. A method whose line is flat needs little tuning. What diverged counts as 0."
        )
        return save(figure, folder, name, caption)


def tuned_against_default(arms: Sequence[Tuned], about: str, folder: Path, name: str) -> Figure:
    """A row per method: its dev score at the recipe's rate (hollow) and at its chosen one (filled)."""
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.6, 1.1 + 0.32 * len(arms)), constrained_layout=True)
        for y, arm in enumerate(arms):
            colour, _ = look(arm.entry)
            tuned, default = arm.dev_score, arm.at(arm.default)
            if default is not None:
                axes.plot([default, tuned], [y, y], color=colour, linewidth=1.5)
                axes.plot(default, y, marker="o", markerfacecolor="white", color=colour)
            axes.plot(tuned, y, marker="o", color=colour)
        label_rows(axes, [f"{arm.entry.label} ({arm.chosen})" for arm in arms], "mean dev score of the suite (%)")
        caption = (
            f"Mean dev score of {about} at the recipe's learning rate, {arms[0].default:g} (hollow), and at each method's "
            "own (filled; the rate in parentheses). There is but one dot where these are the same, and where a method did "
            "not try that rate."
        )
        return save(figure, folder, name, caption)

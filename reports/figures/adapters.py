"""Figures of what diagnoses found inside trained adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.records.measurements import Diagnosis, Stage
from reports.figures.style import COLOURS, MARKERS, PARAMETERS, Figure, save

Diagnoses = dict[str, Diagnosis]  # by method
COLUMNS = 3


def cosines(diagnoses: Diagnoses, about: str, folder: Path, name: str) -> Figure:
    """Gradient cosines (above the diagonal) and overlaps of updates (below it) between tasks, a panel per method."""
    with plt.rc_context(PARAMETERS):
        side = max(2.6, 0.16 * max(len(diagnosis.tasks) for diagnosis in diagnoses.values()))  # room for the labels
        figure, panels = _grid(len(diagnoses), side + 1.3, side + 1.1)
        for axes, (label, diagnosis) in zip(panels.flat, diagnoses.items(), strict=False):
            tasks = diagnosis.tasks
            above, below = (np.array(part, dtype=float) for part in (diagnosis.gradient_cosine, diagnosis.update_overlap))
            both = np.triu(above, 1) + np.tril(below, -1)
            np.fill_diagonal(both, np.nan)
            image = axes.imshow(both, cmap="PuOr_r", vmin=-1, vmax=1)
            for row in range(len(tasks)):
                for column in range(len(tasks)):
                    if len(tasks) <= 10 and np.isfinite(both[row, column]):
                        colour = "white" if abs(both[row, column]) > 0.65 else "black"
                        text = f"{both[row, column]:.1f}".replace("0.", ".").replace("-.0", ".0")
                        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
            axes.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", fontsize=9)
            axes.set_yticks(range(len(tasks)), tasks, fontsize=9)
            axes.set_title(label)
        figure.colorbar(image, ax=panels, label="cosine", shrink=0.7)
        figure.suptitle(f"above the diagonal: gradients; below: updates ({about})", fontsize=11)
        caption = (
            f"Cosines between tasks, {about}: of their gradients above the diagonal, of their low-rank updates below it."
        )
        return save(figure, folder, name, caption)


def mixing(diagnosis: Diagnosis, about: str, folder: Path, name: str) -> Figure:
    """MTL-LoRA's mixing weights by task, layer and up-projection, and how far each Lambda went from the identity."""
    assert diagnosis.transforms and diagnosis.mixing_moved
    weights, distance = np.array(diagnosis.mixing), np.array(diagnosis.transforms.distance)  # (T, L, n), (T, L)
    count = weights.shape[2]
    with plt.rc_context(PARAMETERS):
        shape: dict[str, Any] = {
            "figsize": (10, 1.6 + 0.24 * len(weights) * (count + 1) + 0.5 * count),
            "constrained_layout": True,
        }
        figure, panels = plt.subplots(count + 1, 1, sharex=True, **shape)
        for i in range(count):
            image = panels[i].imshow(weights[:, :, i], cmap="viridis", vmin=0, vmax=1, aspect="auto")
            panels[i].set_title(f"mixing weight of B{i + 1}", fontsize=10)
        figure.colorbar(image, ax=panels[:count], label="weight", shrink=0.7)
        image = panels[count].imshow(distance, cmap="magma", vmin=0, aspect="auto")
        panels[count].set_title("distance of Lambda from the identity, by the square root of the rank", fontsize=10)
        figure.colorbar(image, ax=panels[count], label="distance")
        for axes in panels:
            axes.set_yticks(range(len(diagnosis.tasks)), diagnosis.tasks, fontsize=9)
        panels[count].set_xlabel("adapted layer, from the input to the output")
        moved = f"mixing moved from its start by {np.mean(diagnosis.mixing_moved):.2f} on average (0: not at all, 1: wholly)"
        figure.suptitle(f"{about}\n{moved}", fontsize=11)
        return save(figure, folder, name, f"Mixing weights and Lambda of each task and layer, {about}; {moved}.")


def lambdas(diagnosis: Diagnosis, about: str, folder: Path, name: str) -> Figure:
    """Each task's Lambda less the identity, of the layer in which they differ most."""
    assert diagnosis.transforms
    matrices = np.array(diagnosis.transforms.matrices)  # (T, r, r)
    matrices = matrices - np.eye(matrices.shape[1])
    limit = np.abs(matrices).max()
    with plt.rc_context(PARAMETERS):
        columns = 4 if len(matrices) > 3 else len(matrices)
        figure, panels = _grid(len(matrices), 2.4, 2.3, columns)
        for axes, matrix, task in zip(panels.flat, matrices, diagnosis.tasks, strict=False):
            image = axes.imshow(matrix, cmap="PuOr_r", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[])
            axes.set_title(task, fontsize=10)
        figure.colorbar(image, ax=panels, label="Lambda - identity", shrink=0.7)
        figure.suptitle(f"{diagnosis.transforms.layer}\n{about}", fontsize=10)
        caption = f"Lambda less the identity of each task in the layer where they differ most, {about}."
        return save(figure, folder, name, caption)


def separation(diagnoses: Diagnoses, about: str, folder: Path, name: str) -> Figure:
    """Samples of each task in the low-rank space of a middle layer: D x above, after the task's core below."""
    with plt.rc_context(PARAMETERS):
        columns = min(COLUMNS, len(diagnoses))
        blocks = -(-len(diagnoses) // columns)
        shape: dict[str, Any] = {"figsize": (3.9 * columns, 6.6 * blocks), "squeeze": False, "constrained_layout": True}
        figure, panels = plt.subplots(2 * blocks, columns, **shape)
        for axes in panels.flat:
            axes.set_axis_off()
        for number, (label, diagnosis) in enumerate(diagnoses.items()):
            block, column = divmod(number, columns)
            apart = diagnosis.separation
            for row, (stage, what) in enumerate(((apart.before, "D x"), (apart.after, "Cₜ D x"))):
                axes = panels[2 * block + row, column]
                axes.set_axis_on()
                _scatter(axes, stage)
                told = "" if stage.silhouette is None else f"\nsilhouette {stage.silhouette:+.2f}"
                axes.set_title(f"{label}: {what}{told}", fontsize=10)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        fit = int(3.9 * columns / (0.6 + 0.1 * max(map(len, labels))))  # names side by side, by their width in inches
        figure.legend(
            handles, labels, frameon=False, loc="outside lower center", ncols=min(len(labels), fit), markerscale=1.5
        )
        figure.suptitle(f"first two principal components, {about}", fontsize=11)
        caption = f"Samples of each task in the low-rank space of a middle layer, before and after the task's core, {about}."
        return save(figure, folder, name, caption)


def _scatter(axes: Axes, stage: Stage) -> None:
    for i, (task, points) in enumerate(stage.points.items()):
        marker = MARKERS[i % len(MARKERS)]
        colour = COLOURS[i % len(COLOURS)]
        x, y = zip(*points, strict=True)
        axes.scatter(
            x,
            y,
            s=14,
            color=colour,
            marker=marker,
            alpha=0.7,
            linewidths=0,
            label=task,
            rasterized=True,
        )
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"{stage.explained[0]:.0%} of the variance", fontsize=9)
    axes.set_ylabel(f"{stage.explained[1]:.0%}", fontsize=9)


def _grid(count: int, width: float, height: float, columns: int = COLUMNS) -> tuple[Any, np.ndarray]:
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (1.0 + width * columns, 0.6 + height * rows)
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, constrained_layout=True)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    return figure, panels

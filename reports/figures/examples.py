"""Scored pictures with every method's answers: a figure per task, drawn where the data is or can be generated."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from benchmarks.data.order import row_order
from benchmarks.experiment.methods import order_for_display
from benchmarks.records.config import RunConfig
from benchmarks.records.schema import RunRecord
from benchmarks.suites.spec import Task
from benchmarks.world.forms import decode_picture, world_rows
from mtl_lora.errors import InvalidInput
from reports.evidence.comparison import Comparison
from reports.evidence.results import Results
from reports.figures.style import Figure, save, subject

if TYPE_CHECKING:
    from benchmarks.sources import Source

COLUMNS, ROWS = 3, 2
SHOWN = COLUMNS * ROWS
PICTURE, LINE = 2.2, 0.17  # heights in inches
WIDTH = 50  # letters per line
RIGHT, WRONG = "#009E73", "#D55E00"


@dataclass(frozen=True)
class Asked:
    """A scored row: its number in its split, its pictures, what is asked, and what is right."""

    number: int
    pictures: list[np.ndarray]
    question: str
    answer: str


@dataclass(frozen=True)
class Sample:
    """A scored row, and what each method says, with what that earns."""

    asked: Asked
    said: dict[str, tuple[str, float]]


def draw_samples(comparison: Comparison, results: Results, source: Source | None, out: Path) -> list[Figure]:
    """A figure for each task with pictures: the first rows that were scored, at the greatest budget and the first seed.

    source: of data that are not generated.
    """
    config, records = comparison.config, _one_a_method(comparison)
    suite = comparison.suite if comparison.conflict is None else comparison.suite.with_conflict(comparison.conflict)
    tables = {label: results.predictions(record.id) for label, record in records.items()}
    size, seed = f"{comparison.budgets[-1]:,} adapter parameters", next(iter(records.values())).config.seed
    figures, about = [], f"{subject(comparison)}, {size}, seed {seed}"
    for task in suite.select(config.tasks):
        if task.pictures or task.picture_column:
            answers = {label: table[table["task"] == task.name].set_index("row") for label, table in tables.items()}
            if task.conflict is not None:
                asked = _generated(task, config, answers)
            else:
                assert source is not None
                asked = _loaded(task, config, source)
            drawing = _drawn(f"{task.name}: {task.summary}\n{about}", task, _samples(task, asked, answers))
            caption = f"{task.name}: the first scored pictures with every method's answer; {about}."
            figures.append(save(drawing, out, f"samples-{suite.name}-{task.name}", caption))
    return figures


def _one_a_method(comparison: Comparison) -> dict[str, RunRecord]:
    """The record of each method at the greatest budget and the first seed, in display order."""
    found: dict[str, RunRecord] = {}
    for record in sorted(comparison.records, key=lambda r: r.config.seed):
        if record.config.budget in (comparison.budgets[-1], 0):
            found.setdefault(record.config.method.label, record)
    return {label: found[label] for label in order_for_display(found)}


def _generated(task: Task, config: RunConfig, answers: dict[str, pd.DataFrame]) -> list[Asked]:
    """The first scored rows of a generated task, made anew; InvalidInput where those scored had other labels."""
    rows = world_rows(task.config, task.test_split if config.split == "test" else task.train_split, task.conflict)
    scored = next(iter(answers.values()))["label"]
    asked = []
    for number in row_order(task.name, len(rows))[: min(SHOWN, len(scored))].tolist():
        row = rows[number]
        if number not in scored.index or scored[number] != row["label"]:
            raise _others(task)
        asked.append(Asked(number, [decode_picture(row["picture"])], row["text"], task.labels[row["label"]]))
    return asked


def _loaded(task: Task, config: RunConfig, source: Source) -> list[Asked]:
    """The first scored rows of a data set; InvalidInput where they are not those that were scored."""
    from benchmarks.data.images import decode  # with the libraries of data sets, which nothing else of a report needs
    from benchmarks.data.splits import load_task

    data = load_task(task, source, config.split, config.max_train, config.max_eval)
    if data.fingerprint != config.data[task.name]:
        raise _others(task)
    asked = []
    for row in data.test.select(range(min(SHOWN, len(data.test)))):
        found = [data.pictures[content] for content in row["pictures"]]
        pictures = [np.asarray(decode(picture.content(), picture.name)) for picture in found]
        right = row["answers"][0] if task.written else task.labels[row["label"]]
        asked.append(Asked(row["row"], pictures, row["text"], right))
    return asked


def _others(task: Task) -> InvalidInput:
    return InvalidInput(f"the rows of task {task.name} are not those that were scored: no pictures are drawn")


def _samples(task: Task, asked: list[Asked], answers: dict[str, pd.DataFrame]) -> list[Sample]:
    return [Sample(row, {label: _said(task, own.loc[row.number]) for label, own in answers.items()}) for row in asked]


def _said(task: Task, own: pd.Series) -> tuple[str, float]:
    """What a method says to a row, and what it earns."""
    if task.written:
        return own["text"], own["prediction"]
    if pd.isna(own["prediction"]):
        return own["text"], 0.0
    return task.labels[int(own["prediction"])], float(own["prediction"] == own["label"])


def _drawn(title: str, task: Task, samples: list[Sample]) -> Drawing:
    """Pictures in a grid, each with its :func:`_lines` below."""
    under = [_lines(task, sample) for sample in samples]
    depth = (max(map(len, under)) + 1) * LINE
    height = ROWS * (PICTURE + depth) + 0.7
    figure, panels = plt.subplots(ROWS, COLUMNS, figsize=(COLUMNS * 3.8, height), squeeze=False)
    figure.suptitle(title, fontsize=10)
    for panel in panels.flat[len(samples) :]:
        panel.axis("off")
    for panel, sample, lines in zip(panels.flat, samples, under, strict=False):
        panel.set(xticks=[], yticks=[], anchor="SW")
        pictures = sample.asked.pictures
        panel.imshow(_side_by_side(pictures), interpolation="nearest" if pictures[0].shape[0] < 64 else None)
        for place, (line, look) in enumerate(lines):
            below = {"xycoords": "axes fraction", "xytext": (0, -4 - 72 * LINE * place), "textcoords": "offset points"}
            panel.annotate(line, (0, 0), **below, va="top", fontsize=8.5, parse_math=False, **look)
    edges = {"left": 0.02, "right": 0.99, "top": 1 - 0.7 / height, "bottom": depth / height}
    figure.subplots_adjust(**edges, hspace=depth / PICTURE, wspace=0.08)
    return figure


def _lines(task: Task, sample: Sample) -> list[tuple[str, dict[str, str]]]:
    """Question, answer, and what the methods say: a tick in green where it earns at least half of what it can, a cross in
    orange otherwise; of captions the points. Each line with its look."""
    asked = [*textwrap.wrap(sample.asked.question, WIDTH), *textwrap.wrap(f"answer: {sample.asked.answer}", WIDTH)]
    lines: list[tuple[str, dict[str, str]]] = [(line, {"weight": "bold"}) for line in asked]
    for label, (text, earned) in sample.said.items():
        right = earned >= 0.5
        mark = f"{100 * earned:.0f}" if task.captions else "✓" if right else "✗"
        look = {} if task.captions else {"color": RIGHT if right else WRONG}
        wrapped = textwrap.wrap(f"{mark} {label}: {text or '(nothing)'}", WIDTH, subsequent_indent="    ")
        lines += [(line, look) for line in wrapped]
    return lines


def _side_by_side(pictures: list[np.ndarray]) -> np.ndarray:
    """Several pictures as one, as high as the highest, white between them."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 8), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded, axis=1)[:, :-8]

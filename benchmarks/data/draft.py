"""A first suite file for data that nobody has described yet: what the columns of its files seem to be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from datasets import Dataset

from benchmarks.sources.local_files import read_file
from mtl_lora.errors import InvalidInput

LABELS = ("label", "labels", "target", "class", "category", "sentiment", "score", "rating", "relevance", "grade")
ANSWERS = ("answer", "output", "response", "completion", "reference", "summary")
ALONE = ("text", "sentence", "review", "comment")  # what needs no second text
PAIRED = ("instruction", "input", "question", "query", "premise", "hypothesis", "sentence1", "sentence2")
PASSED_OVER = ("id", "idx", "index", "guid", "url", "split")
TESTS = ("test", "validation", "valid", "dev")
CLASSES = 20  # at most, of a label that is not a grade or a text


@dataclass(frozen=True)
class Draft:
    """The text of a suite file, and a line for each thing that could not be decided."""

    text: str
    undecided: tuple[str, ...]


def draft(name: str, files: Sequence[Path], folder: Path) -> Draft:
    """A suite of a task for each file, to lie in a folder.

    Raises:
        InvalidInput: A file cannot be read, has no two columns, one of them of texts, or does not go with the others.
    """
    tasks = [_task(file, folder) for file in files]
    written = tasks[0].written
    for file, task in zip(files, tasks, strict=True):
        if task.written != written:
            raise InvalidInput(f"{files[0]} and {file} make two suites: answers in words, and classes or grades")
    lines = [
        "# A suite: tasks that one model is trained on together. Every field that a task can have: docs/own_data.md.",
        f"name: {_quoted(name)}  # names runs: a suite of another name is another suite",
        'summary: ""  # what the page says of it',
        f"preset: {'smollm2' if written else 'small'}  # model and recipe, see `mtl-lora list`; or --backbone",
        "tasks:",
        *(line for task in tasks for line in task.lines()),
    ]
    return Draft("\n".join(lines) + "\n", tuple(line for task in tasks for line in task.undecided))


@dataclass(frozen=True)
class _Task:
    """What a file seems to hold. labels: of classes. scale: of grades. Neither: answers in words."""

    name: str
    files: str
    test_split: str | None
    inputs: list[str]
    label_column: str
    labels: list[str] | None
    scale: list[float] | None
    undecided: list[str]

    @property
    def written(self) -> bool:
        return self.labels is None and self.scale is None

    def lines(self) -> Iterator[str]:
        """The task as lines of YAML."""
        yield f"  - name: {_quoted(self.name)}"
        if self.test_split:
            yield f"    files: {_quoted(self.files)}  # relative to this file; {{split}} is train, or the next line's"
            yield f"    test_split: {self.test_split}"
        else:
            yield f"    files: {_quoted(self.files)}  # relative to this file; a fifth of the rows, by hash, is scored"
        yield f"    inputs: {_quoted(self.inputs)}  # one or two columns that the model reads"
        yield f"    label_column: {_quoted(self.label_column)}"
        if self.labels is not None:
            yield f"    labels: {_quoted(self.labels)}  # names of the classes; rows hold these, or 0, 1, .. in this order"
            yield "    metrics: [accuracy]  # or f1 (two classes, of the second), matthews, average_precision"
        elif self.scale is not None:
            yield f"    scale: {_quoted(self.scale)}  # from the lowest grade to the highest"
            yield "    metrics: [spearman]  # or pearson, quadratic_kappa, ndcg (with query_column)"
        else:
            yield "    written: true  # the model writes the answer"
            yield "    metrics: [rouge_l]  # or exact_match"


def _task(file: Path, folder: Path) -> _Task:
    rows = read_file(file)
    undecided: list[str] = []
    label = _label_column(file, rows, undecided)
    inputs = _inputs(file, rows, label, undecided)
    labels, scale = _classes_or_scale(file, label, rows[label][:], undecided)
    if "split" in rows.column_names:
        undecided.append(f"{file}: column split is not read; give each split a file, and files: name-{{split}}.csv")
    test = next((test for test in TESTS if "train" in file.name and _sibling(file, test).is_file()), None)
    name = file.name.replace("train", "{split}", 1) if test else file.name
    where = os.path.relpath(file.resolve().parent / name, folder.resolve())
    return _Task(plain_name(file), where, test, inputs, label, labels, scale, undecided)


def plain_name(file: Path) -> str:
    """A name of a task or a suite for a file."""
    return re.sub(r"[^\w.-]+|^[.-]+", "-", file.stem).strip("-") or "mine"


def _sibling(file: Path, split: str) -> Path:
    return file.with_name(file.name.replace("train", split, 1))


def _label_column(file: Path, rows: Dataset, undecided: list[str]) -> str:
    """By its name, else the column with the fewest values."""
    lower = {name.lower(): name for name in reversed(rows.column_names)}
    for known in (*LABELS, *ANSWERS):
        if known in lower:
            return lower[known]
    if len(rows.column_names) < 2:
        raise InvalidInput(f"{file} has the one column {rows.column_names[0]}: a task needs something to read and a label")
    column = min(rows.column_names, key=lambda name: len({str(value) for value in rows[name]}))
    undecided.append(f"{file}: no column is called {LABELS[0]}; label_column is {column}, which has the fewest values")
    return column


def _inputs(file: Path, rows: Dataset, label: str, undecided: list[str]) -> list[str]:
    """One column of texts, or two: those with names that say so, else the longest."""

    def length(name: str) -> float:
        return sum(map(len, rows[name])) / len(rows)

    texts = [
        name
        for name in rows.column_names
        if name != label
        and name.lower() not in PASSED_OVER
        and all(isinstance(value, str) for value in rows[name])
        and any(_number(value) is None for value in rows[name])
    ]
    if not texts:
        raise InvalidInput(f"{file} has no column of texts besides {label}")
    alone = [name for name in texts if name.lower() in ALONE]
    longest = sorted(texts, key=lambda name: (name.lower() not in PAIRED, -length(name)))
    inputs = sorted(alone[:1] or longest[:2], key=rows.column_names.index)
    if left := [name for name in texts if name not in inputs]:
        undecided.append(f"{file}: inputs are {' and '.join(inputs)}; not read: {', '.join(left)}")
    return inputs


def _classes_or_scale(
    file: Path, column: str, values: Sequence[Any], undecided: list[str]
) -> tuple[list[str] | None, list[float] | None]:
    given = [value for value in values if value not in (None, "")]
    if len(given) < len(values):
        undecided.append(f"{file}: {len(values) - len(given)} rows have no {column}, which a run refuses: remove them")
    texts, numbers = {str(value) for value in given}, [_number(value) for value in given]
    if len(texts) < 2:
        raise InvalidInput(f"{file}: column {column} has one value alone, {values[0]!r}: there is nothing to predict")
    if column.lower() in ANSWERS:
        if len(texts) <= CLASSES:
            undecided.append(f"{file}: {column} is read as answers in words; of {len(texts)} classes, give labels instead")
        return None, None
    grades = [number for number in numbers if number is not None]
    whole = len(grades) == len(given) and all(grade.is_integer() for grade in grades)
    if len(grades) == len(given) and (len(texts) > CLASSES or not whole):
        return None, [min(grades), max(grades)]
    if len(texts) <= CLASSES:
        if whole and len(texts) > 2:
            undecided.append(f"{file}: {column} is read as {len(texts)} classes; of grades, give scale instead of labels")
        return sorted(texts, key=float if whole else str), None
    return None, None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _quoted(value: object) -> str:
    """JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)

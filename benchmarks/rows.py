"""From the columns of a source to those that tasks are read by, every row checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from benchmarks.choices import read_choice
from benchmarks.suite import Task
from mtl_lora.errors import InvalidInput


def read_rows(task: Task, rows: Dataset, origin: str) -> Dataset:
    """Rows of a task: columns text, (text_pair), (picture), label, row (its place in the source's split), and query where
    rows belong to queries; for multiple choice text (the whole instruction), question, options, label, row.

    A label is the place of a class or option, or a grade. origin: where the rows are from, for messages. InvalidInput names
    it and the row where a text is missing or a label is none of the task's.
    """
    if not len(rows):
        raise InvalidInput(f"{origin} is empty")
    names = dict(zip(task.inputs, ("text", "text_pair"), strict=False)) | {task.label_column: "label"}
    if task.picture_column:
        names[task.picture_column] = "picture"
    missing = [column for column in [*names, task.query_column] if column and column not in rows.column_names]
    if missing:
        raise InvalidInput(f"{origin} has no column {missing[0]!r}; it has {', '.join(rows.column_names)}")
    queries = rows[task.query_column][:] if task.query_column else None
    rows = rows.select_columns(list(names)).rename_columns({old: new for old, new in names.items() if old != new})
    for column, name in zip(("text", "text_pair"), task.inputs, strict=False):
        for row, text in enumerate(rows[column]):
            if not isinstance(text, str):
                raise InvalidInput(f"{origin}, row {row}: {name} is {text!r}, not text")
    rows = _choices(task, rows, origin) if task.choice else _labelled(task, rows, origin)
    if queries is not None:
        rows = rows.add_column("query", queries)
    return rows.add_column("row", range(len(rows)))


def _choices(task: Task, rows: Dataset, origin: str) -> Dataset:
    found = []
    for row, (text, answer) in enumerate(zip(rows["text"], rows["label"], strict=True)):
        try:
            found.append({"text": text, **read_choice(text, answer, task.labels)._asdict()})
        except ValueError as error:
            raise InvalidInput(f"{origin}, row {row}: {error}") from error
    return Dataset.from_list(found)


def _labelled(task: Task, rows: Dataset, origin: str) -> Dataset:
    labels = rows["label"][:]
    for row, label in enumerate(labels):
        if not _fits(task, label):
            allowed = f"from {task.scale[0]:g} to {task.scale[1]:g}" if task.graded else _listed(task.labels)
            raise InvalidInput(f"{origin}, row {row}: label {label!r} is not {allowed}")
    if isinstance(labels[0], str):
        rows = rows.remove_columns("label").add_column("label", [task.labels.index(label) for label in labels])
    return rows


def _fits(task: Task, label: Any) -> bool:
    if task.graded:
        return isinstance(label, (int, float)) and task.scale[0] <= label <= task.scale[1]
    return label in task.labels if isinstance(label, str) else label in range(len(task.labels))


def _listed(labels: Sequence[str]) -> str:
    return "one of " + ", ".join(f"{place} {label}" for place, label in enumerate(labels))

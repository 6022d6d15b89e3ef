"""From the columns of a source to those that tasks are read by, every row checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datasets import Dataset

from benchmarks.data.multiple_choice import read_choice
from benchmarks.suites.spec import Pictures, Task
from mtl_lora.errors import InvalidInput


def read_rows(task: Task, rows: Dataset, origin: str) -> Dataset:
    """Rows of a task: columns text, (text_pair), (picture), label, row (its place in the source's split), and query where
    rows belong to queries; for multiple choice text (the whole instruction), question, options, label, row.

    A label is the place of a class or option, or a grade; free-form answers are "answers", a list of texts, instead.
    Tasks on pictures have "pictures", the keys by which ``benchmarks.data.images`` finds them.

    Args:
        task: Says which columns are read.
        rows: As their source has them.
        origin: Where the rows are from, for messages.

    Raises:
        InvalidInput: A text is missing or a label is none of the task's; origin and row are named.
    """
    if not len(rows):
        raise InvalidInput(f"{origin} is empty")
    _refuse_missing(task, rows, origin)
    names = dict(zip(task.inputs, ("text", "text_pair"), strict=False)) | {task.label_column: "label"}
    if task.picture_column:
        names[task.picture_column] = "picture"
    queries = rows[task.query_column][:] if task.query_column else None
    _refuse_other_than_texts(queries or (), task.query_column, origin)
    pictures = _keys(task.pictures, rows, origin) if task.pictures else None
    rows = rows.select_columns(list(names)).rename_columns({old: new for old, new in names.items() if old != new})
    for column, name in zip(("text", "text_pair"), task.inputs, strict=False):
        _refuse_other_than_texts(rows[column], name, origin)
    if not task.inputs:
        rows = rows.add_column("text", [""] * len(rows))
    read = _choices if task.choice else _answered if task.written else _labelled
    rows = read(task, rows, origin)
    if queries is not None:
        rows = rows.add_column("query", queries)
    if pictures is not None:
        rows = rows.add_column("pictures", pictures)
    return rows.add_column("row", range(len(rows)))


def _refuse_missing(task: Task, rows: Dataset, origin: str) -> None:
    named = {
        "inputs": task.inputs,
        "label_column": (task.label_column,),
        "query_column": (task.query_column,),
        "picture_column": (task.picture_column,),
        "pictures": task.pictures.columns if task.pictures else (),
    }
    for field, columns in named.items():
        for column in columns:
            if column is not None and column not in rows.column_names:
                have = ", ".join(rows.column_names)
                raise InvalidInput(f"task {task.name}, {field}: {origin} has no column {column!r}; it has {have}")


def _refuse_other_than_texts(values: Iterable[Any], name: str | None, origin: str) -> None:
    for row, text in enumerate(values):
        if not isinstance(text, str):
            raise InvalidInput(f"{origin}, row {row}: {name} is {text!r}, not text")


def _choices(task: Task, rows: Dataset, origin: str) -> Dataset:
    choices = []
    for row, (text, answer) in enumerate(zip(rows["text"], rows["label"], strict=True)):
        try:
            choices.append({"text": text, **read_choice(text, answer, task.labels)._asdict()})
        except ValueError as error:
            raise InvalidInput(f"{origin}, row {row}: {error}") from error
    return Dataset.from_list(choices)


def key_in_rows(origin: str, row: int, column: str) -> str:
    """The key of a picture that lies in a row itself."""
    return f"{origin}, row {row}: {column}"


def _keys(pictures: Pictures, rows: Dataset, origin: str) -> list[list[str]]:
    """Ids of pictures that lie elsewhere; of pictures in the rows themselves where, the rows' split included."""
    if pictures.config is None:
        return [[key_in_rows(origin, row, column) for column in pictures.columns] for row in range(len(rows))]
    return [[str(key) for key in keys] for keys in zip(*(rows[column] for column in pictures.columns), strict=True)]


def _answered(task: Task, rows: Dataset, origin: str) -> Dataset:
    """A text, a list of texts, or of {"answer": text}, as VQA has them, become a list of texts."""
    answers = []
    for row, label in enumerate(rows["label"]):
        several = label if isinstance(label, list) else [label]
        texts = [one.get("answer") if isinstance(one, dict) else one for one in several]
        if not texts or not all(isinstance(answer, str) and answer.strip() for answer in texts):
            raise InvalidInput(f"{origin}, row {row}: {task.label_column} is {label!r}, not a text")
        answers.append(texts)
    return rows.remove_columns("label").add_column("answers", answers)


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
    return label in task.labels if isinstance(label, str) else type(label) is int and label in range(len(task.labels))


def _listed(labels: Sequence[str]) -> str:
    return "one of " + ", ".join(f"{place} {label}" for place, label in enumerate(labels))

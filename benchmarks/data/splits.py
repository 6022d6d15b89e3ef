"""Rows of tasks, from their source to padded batches with a task id for each sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from datasets import Dataset

from benchmarks.data.columns import read_rows
from benchmarks.data.images import Picture, PictureBook
from benchmarks.data.order import row_order, stable_hash
from benchmarks.sources import Source
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput

SPLITS = ("test", "dev")
DEV_ROWS = 500  # taken from the training rows, never trained on: for choosing recipes
TESTED = 5  # one in so many is scored, where queries, or the rows of a single file, are split here


@dataclass(frozen=True)
class TaskData:
    """The rows of one task: columns as ``benchmarks.data.columns`` gives them, and in training "weight" for a balanced task.

    pictures: those of the rows, by the content that "pictures" names.
    """

    task: Task
    train: Dataset
    test: Dataset
    fingerprint: str
    pictures: dict[str, Picture] = field(default_factory=dict)


def load_task(task: Task, source: Source, split: str, max_train: int | None, max_test: int | None) -> TaskData:
    """Select the rows of a task.

    The choice and order of rows depends on the task's name alone, so every method and seed sees the same ones.
    DEV_ROWS of the training split (a tenth, where that is fewer) are set apart first. ``split`` says what is scored:
    "test", the task's test split, or "dev", the rows set apart. Scored rows of a query are kept together, and no query and
    no picture (by its id, by its content where it has none) of the test split or of the rows set apart is trained on.
    """
    pool, test = _splits(task, source)
    pictures: dict[str, Picture] = {}
    book = cache(partial(PictureBook.open, task, source))  # by split
    if task.pictures and task.pictures.config is None:  # without ids, what tells pictures apart is what they show
        pool, pictures = book(task.train_split).by_content(pool)
        test, more = book(task.test_split).by_content(test)
        pictures |= more
    if task.split_by_query:
        test = test.select([i for i, query in enumerate(test["query"]) if stable_hash(query) % TESTED == 0])
    if task.captions:
        pool = _one_an_answer(pool)
    order = row_order(task.name, len(pool))
    # Rows about the same lie side by side, so that dev takes as few queries and pictures from training as it can. Training
    # is cut last: fewer rows are then a part of more, and what is scored stays the same.
    dev = _side_by_side(pool, order)[: min(DEV_ROWS, len(pool) // 10)]
    train = pool.select(order[_trainable(pool, test, dev)[order]][:max_train])
    if split == "test":
        order = row_order(task.name, len(test))
        scored = test.select(_side_by_side(test, order) if task.query_column else order)
    else:
        scored = pool.select(dev)
    scored = (_one_a_picture(scored) if task.captions else scored).take(min(max_test or len(scored), len(scored)))
    if not len(train) or not len(scored):
        lacking = "train on" if not len(train) else "score" if split == "test" else f"set apart (dev): it has {len(pool)}"
        raise InvalidInput(f"task {task.name} has no rows to {lacking}")
    if task.pictures and task.pictures.config is not None:
        train, pictures = book(task.train_split).by_content(train)
        scored, more = book(task.test_split if split == "test" else task.train_split).by_content(scored)
        pictures |= more
    train = _balanced(train) if task.balanced else train
    return TaskData(task, train, scored, _fingerprint(train, scored), pictures)


def _splits(task: Task, source: Source) -> tuple[Dataset, Dataset]:
    """The rows to train on and those to score. In a single file, rows of the same query or the same texts stay together."""

    def read(split: str) -> Dataset:
        return read_rows(task, source.rows(task, split), source.origin(task, split))

    if not task.one_file:
        return read(task.train_split), read(task.test_split)
    rows = read(task.train_split)
    columns = [rows[name] for name in ("query",) if name in rows.column_names]
    columns = columns or [rows[name] for name in ("text", "text_pair") if name in rows.column_names]
    tested = np.array([stable_hash("\n".join(texts)) % TESTED == 0 for texts in zip(*columns, strict=True)])
    return rows.select(np.flatnonzero(~tested)), rows.select(np.flatnonzero(tested))


def _subjects(rows: Dataset) -> list[list[str]] | None:
    """The query, or the pictures, that each row is about; None where rows are about nothing in common."""
    if "query" in rows.column_names:
        return [[query] for query in rows["query"]]
    return rows["pictures"][:] if "pictures" in rows.column_names else None


def _side_by_side(rows: Dataset, order: np.ndarray) -> np.ndarray:
    """The order with the rows about the same side by side."""
    subjects = _subjects(rows)
    if subjects is None:
        return order
    ordered = [tuple(subjects[row]) for row in order]
    place = {subject: i for i, subject in enumerate(dict.fromkeys(ordered))}
    return order[np.argsort([place[subject] for subject in ordered], kind="stable")]


def _trainable(pool: Dataset, test: Dataset, dev: np.ndarray) -> np.ndarray:
    """Which rows of the pool are neither set apart nor about what is scored."""
    trainable = ~np.isin(np.arange(len(pool)), dev)
    subjects, tested = _subjects(pool), _subjects(test)
    if subjects is not None and tested is not None:
        scored = {subject for about in [*tested, *(subjects[row] for row in dev)] for subject in about}
        trainable &= [scored.isdisjoint(about) for about in subjects]
    return trainable


def _one_an_answer(rows: Dataset) -> Dataset:
    """A row for each of the answers of a row."""
    places = np.repeat(np.arange(len(rows)), [len(answers) for answers in rows["answers"]])
    answers = [[answer] for texts in rows["answers"] for answer in texts]
    return rows.select(places).remove_columns("answers").add_column("answers", answers)


def _one_a_picture(rows: Dataset) -> Dataset:
    """The first row of each picture, with the answers of all of them."""
    answers: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], int] = {}
    for place, (subject, texts) in enumerate(zip(map(tuple, rows["pictures"]), rows["answers"], strict=True)):
        answers.setdefault(subject, []).extend(texts)
        first.setdefault(subject, place)
    return rows.select(first.values()).remove_columns("answers").add_column("answers", list(answers.values()))


def _balanced(rows: Dataset) -> Dataset:
    """With weights by which every class has the same sum and a row's mean is 1."""
    labels = np.array(rows["label"])
    counts = np.bincount(labels)
    return rows.add_column("weight", len(labels) / (np.count_nonzero(counts) * counts[labels]))


def _fingerprint(*parts: Iterable[dict]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for row in part:
            digest.update(json.dumps(row, sort_keys=True, default=bytes.hex).encode())
    return digest.hexdigest()[:16]

"""Rows of tasks, from their source to padded batches with a task id for each sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from benchmarks.answering import VisionLanguage, Way
from benchmarks.features import Features, OfFiles
from benchmarks.pictures import Picture, PictureBook
from benchmarks.presets import Recipe
from benchmarks.rows import read_rows
from benchmarks.sources import Source
from benchmarks.suite import Task
from mtl_lora.errors import InvalidInput

SPLITS = ("test", "dev")
DEV_ROWS = 500  # taken from the training rows, never trained on: for choosing recipes
TEST_QUERIES = 5  # one in so many, where queries are split here
BUCKET_BATCHES = 16  # batches are made of rows of similar length, found among this many batches


@dataclass(frozen=True)
class TaskData:
    """The rows of one task: columns as ``benchmarks.rows`` gives them, and in training "weight" for a balanced task.

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
    pool, test = (read_rows(task, source.rows(task, s), source.origin(task, s)) for s in (task.train_split, task.test_split))
    pictures: dict[str, Picture] = {}
    book = cache(partial(PictureBook.open, task, source))  # by split
    if task.pictures and task.pictures.config is None:  # without ids, what tells pictures apart is what they show
        pool, pictures = book(task.train_split).by_content(pool)
        test, more = book(task.test_split).by_content(test)
        pictures |= more
    if task.split_by_query:
        test = test.select([i for i, query in enumerate(test["query"]) if _hash(query) % TEST_QUERIES == 0])
    if task.captions:
        pool = _one_an_answer(pool)
    order = _permutation(task, len(pool))
    dev = _side_by_side(pool, order)[: min(DEV_ROWS, len(pool) // 10)]
    train = pool.select(order[_trainable(pool, test, dev)[order]][:max_train])
    if split == "test":
        order = _permutation(task, len(test))
        scored = test.select(_side_by_side(test, order) if task.query_column else order)
    else:
        scored = pool.select(dev)
    scored = (_one_a_picture(scored) if task.captions else scored).take(min(max_test or len(scored), len(scored)))
    if not len(train) or not len(scored):
        raise InvalidInput(f"task {task.name} has no rows to {'score' if len(train) else 'train on'}")
    if task.pictures and task.pictures.config is not None:
        train, pictures = book(task.train_split).by_content(train)
        scored, more = book(task.test_split if split == "test" else task.train_split).by_content(scored)
        pictures |= more
    train = _balanced(train) if task.balanced else train
    return TaskData(task, train, scored, _fingerprint(train, scored), pictures)


def encode(
    data: Sequence[TaskData], tokenizer: PreTrainedTokenizerBase, way: Way, max_length: int
) -> tuple[Dataset, Dataset]:
    """Training and test rows of all tasks as tokens: task_ids, row, length and what the way of answering reads.

    A task's id is its place in ``data``. Test rows come longest first, so that padding is little and a batch too large
    for the device shows at once.
    """

    def tokens(rows: Dataset, index: int, training: bool) -> Dataset:
        encoded = way.tokens(rows, data[index].task, tokenizer, max_length, training)
        return encoded.add_column("task_ids", [index] * len(rows))

    train = concatenate_datasets([tokens(d.train, i, True) for i, d in enumerate(data)])
    test = concatenate_datasets([tokens(d.test, i, False) for i, d in enumerate(data)])
    return train, test.select(np.argsort(-lengths(test), kind="stable"))


def features_for(data: Sequence[TaskData], way: Way, source: Source, train: Dataset, test: Dataset) -> Features | None:
    """The features of the pictures of encoded rows, computed where they are not kept yet; None for a way without any."""
    if not isinstance(way, VisionLanguage):
        return None
    known = {content: picture for own in data for content, picture in own.pictures.items()}
    trained, scored = ({content for row in part["pictures"] for content in row} for part in (train, test))
    features = Features(way, source)
    features.compute({content: known[content] for content in sorted(trained | scored)})
    features.measure(sorted(trained))
    return features


def lengths(rows: Dataset) -> np.ndarray:
    """Tokens of each row."""
    return np.array(rows["length"][:])


def steps(sizes: Sequence[int], recipe: Recipe) -> int:
    """Optimiser steps of a whole run on tasks of these training sizes."""
    return recipe.epochs * sum(sizes) // recipe.batch_size


def schedule(sizes: Sequence[int], lengths: np.ndarray, recipe: Recipe, seed: int) -> np.ndarray:
    """The training rows of a whole run in order, as indices into the concatenated tasks of these sizes.

    An epoch draws as many rows as there are. Each task's rows are used up before any comes again. Within windows
    of BUCKET_BATCHES batches, rows are sorted by length and the batches shuffled: less padding, tasks still mixed.
    """
    rng = np.random.default_rng([seed, 1])
    if recipe.sampling == "temperature":
        share = np.array(sizes, dtype=float) ** (1 / recipe.temperature)
        draws = np.maximum(share / share.sum() * recipe.epochs * sum(sizes), 1).astype(int)
        draws[draws.argmax()] += recipe.epochs * sum(sizes) - draws.sum()
    else:
        draws = recipe.epochs * np.array(sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    rows = [
        start + np.concatenate([rng.permutation(size) for _ in range(-(-n // size))])[:n]
        for start, size, n in zip(starts, sizes, draws, strict=True)
    ]
    if recipe.sampling == "proportional":  # epoch after epoch of all rows
        epochs = [
            np.concatenate([r[e * s : (e + 1) * s] for r, s in zip(rows, sizes, strict=True)]) for e in range(recipe.epochs)
        ]
        order = np.concatenate([rng.permutation(epoch) for epoch in epochs])
    else:
        order = rng.permutation(np.concatenate(rows))
    order = order[: len(order) // recipe.batch_size * recipe.batch_size]
    window = BUCKET_BATCHES * recipe.batch_size
    bucketed = []
    for start in range(0, len(order), window):
        chunk = order[start : start + window]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")].reshape(-1, recipe.batch_size)
        bucketed.append(rng.permutation(chunk).ravel())
    return np.concatenate(bucketed)


@dataclass(frozen=True)
class Collator:
    """Pads rows to the longest and makes tensors: task_ids (b,) and what the way of answering reads.

    features: of the pictures that rows name, where they do.
    """

    way: Way
    tokenizer: PreTrainedTokenizerBase
    features: Features | OfFiles | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if self.features is not None:
            rows = [row | {"features": [self.features[content] for content in row["pictures"]]} for row in rows]
        return self.way.collate(rows, self.tokenizer) | {"task_ids": torch.tensor([row["task_ids"] for row in rows])}


def _permutation(task: Task, size: int) -> np.ndarray:
    return np.random.default_rng(_hash(task.name)).permutation(size)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


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
    subjects = _subjects(pool)
    if subjects is not None:
        scored = {subject for own in [*_subjects(test), *(subjects[row] for row in dev)] for subject in own}
        trainable &= [scored.isdisjoint(own) for own in subjects]
    return trainable


def _one_an_answer(rows: Dataset) -> Dataset:
    """A row for each of the answers of a row."""
    places = np.repeat(np.arange(len(rows)), [len(answers) for answers in rows["answers"]])
    answers = [[answer] for own in rows["answers"] for answer in own]
    return rows.select(places).remove_columns("answers").add_column("answers", answers)


def _one_a_picture(rows: Dataset) -> Dataset:
    """The first row of each picture, with the answers of all of them."""
    answers: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], int] = {}
    for place, (subject, own) in enumerate(zip(map(tuple, rows["pictures"]), rows["answers"], strict=True)):
        answers.setdefault(subject, []).extend(own)
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

"""From rows to padded batches with a task id for each sample, and the order in which a run sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.data.splits import TaskData
from benchmarks.records.recipe import Recipe
from benchmarks.sources import Source
from benchmarks.training.image_features import Features, OfFiles

BUCKET_BATCHES = 16  # batches are made of rows of similar length, found among this many batches


def encode(
    data: Sequence[TaskData], tokenizer: PreTrainedTokenizerBase, mode: AnswerMode, max_length: int
) -> tuple[Dataset, Dataset]:
    """Training and test rows of all tasks as tokens: task_ids, row, length and what the answer mode reads.

    A task's id is its place in ``data``. Test rows come longest first, so that padding is little and a batch too large
    for the device shows at once.
    """

    train = [mode.tokens(task_data.train, task_data.task, tokenizer, max_length, True) for task_data in data]
    return _with_ids(train), encode_scored(data, tokenizer, mode, max_length)


def encode_scored(
    data: Sequence[TaskData], tokenizer: PreTrainedTokenizerBase, mode: AnswerMode, max_length: int
) -> Dataset:
    """The test rows of :func:`encode` alone."""
    test = _with_ids([mode.tokens(task_data.test, task_data.task, tokenizer, max_length, False) for task_data in data])
    return test.select(np.argsort(-lengths(test), kind="stable"))


def _with_ids(tokens: Sequence[Dataset]) -> Dataset:
    """The rows of all tasks, each with its task's id."""
    return concatenate_datasets([rows.add_column("task_ids", [i] * len(rows)) for i, rows in enumerate(tokens)])


def features_for(
    data: Sequence[TaskData], mode: AnswerMode, source: Source, train: Dataset, *scored: Dataset
) -> Features | None:
    """The features of the pictures of encoded rows, computed where they are not kept yet; None for a mode without any."""
    if not isinstance(mode, VisionLanguage):
        return None
    known = {content: picture for task_data in data for content, picture in task_data.pictures.items()}
    trained, *others = ({content for row in part["pictures"] for content in row} for part in (train, *scored))
    features = Features(mode, source)
    features.compute({content: known[content] for content in sorted(trained.union(*others))})
    features.measure(sorted(trained))
    return features


def lengths(rows: Dataset) -> np.ndarray:
    """Tokens of each row."""
    return np.array(rows["length"][:])


def schedule(sizes: Sequence[int], lengths: np.ndarray, recipe: Recipe, seed: int) -> np.ndarray:
    """The training rows of a whole run in order, as indices into the concatenated tasks of these sizes.

    An epoch draws as many rows as there are. Each task's rows are used up before any comes again. Within windows
    of BUCKET_BATCHES batches, rows are sorted by length and the batches shuffled: less padding, tasks still mixed.
    """
    rng = np.random.default_rng([seed, 1])
    if recipe.sampling == "temperature":
        share = np.array(sizes, dtype=float) ** (1 / recipe.temperature)
        draws = np.maximum(share / share.sum() * recipe.epochs * sum(sizes), 1).astype(int)
        # What rounding leaves goes to the largest task: a temperature changes the tasks' shares, never the number of steps.
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
    """Pads rows to the longest and makes tensors: task_ids (b,) and what the answer mode reads.

    features: of the pictures that rows name, where they do.
    """

    mode: AnswerMode
    tokenizer: PreTrainedTokenizerBase
    features: Features | OfFiles | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if self.features is not None:
            rows = [row | {"features": [self.features[content] for content in row["pictures"]]} for row in rows]
        return self.mode.collate(rows, self.tokenizer) | {"task_ids": torch.tensor([row["task_ids"] for row in rows])}

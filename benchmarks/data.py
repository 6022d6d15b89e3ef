"""Rows of tasks, from their source to padded batches with a task id for each sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from benchmarks.presets import Recipe
from benchmarks.sources import Source
from benchmarks.suite import Task
from benchmarks.world.encoder import PATCH, PATCHES
from benchmarks.world.forms import decode_picture
from benchmarks.world.pictures import patches
from mtl_lora.errors import InvalidInput

SPLITS = ("test", "dev")
DEV_ROWS = 500  # taken from the training rows, never trained on: for choosing recipes
BUCKET_BATCHES = 16  # batches are made of rows of similar length, found among this many batches


@dataclass(frozen=True)
class TaskData:
    """The rows of one task: columns text, text_pair and picture (or none), label, row (its place in the source's split)."""

    task: Task
    train: Dataset
    test: Dataset
    fingerprint: str


def load_task(task: Task, source: Source, split: str, max_train: int | None, max_test: int | None) -> TaskData:
    """Select the rows of a task.

    The choice and order of rows depends on the task's name alone, so every method and seed sees the same ones.
    DEV_ROWS of the training split (a tenth, where that is fewer) are set apart first. ``split`` says what is scored:
    "test", the task's test split, or "dev", the rows set apart.
    """
    pool = _columns(task, source.rows(task, task.train_split))
    order = _permutation(task, len(pool))
    dev_rows = min(DEV_ROWS, len(pool) // 10)
    train = pool.select(order[dev_rows:][:max_train])
    if split == "dev":
        test = pool.select(order[:dev_rows][:max_test])
    else:
        test = _columns(task, source.rows(task, task.test_split))
        test = test.select(_permutation(task, len(test))[:max_test])
    if not len(train) or not len(test):
        raise InvalidInput(f"task {task.name} has no rows to {'train on' if not len(train) else 'score'}")
    return TaskData(task, train, test, _fingerprint(train, test))


def encode(data: Sequence[TaskData], tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[Dataset, Dataset]:
    """Training and test rows of all tasks as tokens: columns input_ids, (token_type_ids,) task_ids, labels, row.

    A task's id is its place in ``data``. Test rows come longest first, so that padding is little and a batch too large
    for the device shows at once.
    """
    train = concatenate_datasets([encode_task(d.train, i, tokenizer, max_length) for i, d in enumerate(data)])
    test = concatenate_datasets([encode_task(d.test, i, tokenizer, max_length) for i, d in enumerate(data)])
    return train, test.select(np.argsort(-lengths(test), kind="stable"))


def encode_task(rows: Dataset, task_id: int, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """Rows of one task (columns text, text_pair and picture or none, label, row) as tokens. A picture stays as it is, with
    places for its patches in front of the text."""
    pictured = "picture" in rows.column_names
    if pictured and PATCH not in tokenizer.get_vocab():
        raise InvalidInput("a task has pictures, which this backbone cannot read; --tasks leaves it out")

    def tokens(batch: dict) -> dict:
        first = [f"{PATCH} " * PATCHES * pictured + text for text in batch["text"]]
        texts = [first, batch["text_pair"]] if "text_pair" in batch else [first]
        if len(texts) == 2 and tokenizer.sep_token is None:  # causal tokenizers would run the two texts together
            texts = [[f"{a}\n{b}" for a, b in zip(*texts, strict=True)]]
        encoded = dict(tokenizer(*texts, truncation=True, max_length=max_length, padding=False))
        count = len(batch["label"])
        return encoded | {
            "length": [len(ids) for ids in encoded["input_ids"]],
            "labels": [float(label) for label in batch["label"]],
            "task_ids": [task_id] * count,
        }

    text = [name for name in rows.column_names if name not in ("row", "picture")]
    return rows.map(tokens, batched=True, remove_columns=text, load_from_cache_file=False, keep_in_memory=True)


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
    """Pads rows to the longest and makes tensors: input_ids, attention_mask (b, s); task_ids, labels (b,); where rows have
    pictures, those of them alone, cut into patches: pictures (pictures, patches, values)."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        names = [name for name in self.tokenizer.model_input_names if name in rows[0]]
        batch = dict(self.tokenizer.pad({name: [row[name] for row in rows] for name in names}, return_tensors="pt"))
        batch["task_ids"] = torch.tensor([row["task_ids"] for row in rows])
        batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=torch.float32)
        pictures = [decode_picture(row["picture"]) for row in rows if row.get("picture") is not None]
        if pictures:
            batch["pictures"] = torch.as_tensor(patches(np.stack(pictures)))
        return batch


def _columns(task: Task, rows: Dataset) -> Dataset:
    names = dict(zip(task.inputs, ("text", "text_pair"), strict=False)) | {task.label_column: "label"}
    if task.picture_column:
        names[task.picture_column] = "picture"
    missing = [column for column in names if column not in rows.column_names]
    if missing:
        raise InvalidInput(
            f"{task.dataset}, {task.config} has no column {missing[0]!r}; it has {', '.join(rows.column_names)}"
        )
    rows = rows.select_columns(list(names)).rename_columns({old: new for old, new in names.items() if old != new})
    return rows.add_column("row", range(len(rows)))


def _permutation(task: Task, size: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(task.name.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).permutation(size)


def _fingerprint(*parts: Dataset) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for row in part:
            digest.update(json.dumps(row, sort_keys=True, default=bytes.hex).encode())
    return digest.hexdigest()[:16]

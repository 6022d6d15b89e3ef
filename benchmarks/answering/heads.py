"""Classes and grades, by a linear head for each task on the sentence vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode, Batch, pad_texts
from benchmarks.answering.head_model import HeadModel, head_sizes
from benchmarks.suites.spec import Task
from benchmarks.world.encoder import PATCH, PATCHES
from benchmarks.world.forms import decode_picture
from benchmarks.world.pictures import patches
from mtl_lora import AdaptedModel, InvalidInput
from mtl_lora.errors import unknown

TEXTS = ("together", "apart")


@dataclass(frozen=True)
class Heads(AnswerMode):
    """A class or a grade of one text, or of a pair, with or without a picture.

    texts: the two of a pair are read "together", as one input (cross-encoder), or "apart", each on its own and then compared
    (bi-encoder).
    """

    texts: str = "together"

    name: ClassVar[str] = "heads"
    summary: ClassVar[str] = "a linear head for each task"

    def __post_init__(self) -> None:
        if self.texts not in TEXTS:
            raise unknown("reading of texts", self.texts, TEXTS)

    @property
    def apart(self) -> bool:
        return self.texts == "apart"

    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        """A picture stays as it is, with places for its patches in front of the text."""
        pictured = "picture" in rows.column_names
        if pictured and (self.apart or PATCH not in tokenizer.get_vocab()):
            raise InvalidInput("a task has pictures, which this backbone cannot read; --tasks leaves it out")

        def apart(row: dict) -> dict:
            texts = [row[name] for name in ("text", "text_pair") if row.get(name) is not None]
            ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
            return {"input_ids": ids, "length": sum(map(len, ids)), "labels": float(row["label"])}

        def together(batch: dict) -> dict:
            first = [f"{PATCH} " * PATCHES * pictured + text for text in batch["text"]]
            texts = [first, batch["text_pair"]] if "text_pair" in batch else [first]
            if len(texts) == 2 and tokenizer.sep_token is None:  # causal tokenizers would run the two texts together
                texts = [[f"{a}\n{b}" for a, b in zip(*texts, strict=True)]]
            encoded = dict(tokenizer(*texts, truncation=True, max_length=max_length, padding=False))
            labels = [float(label) for label in batch["label"]]
            return encoded | {"length": [len(ids) for ids in encoded["input_ids"]], "labels": labels}

        kept = ("row", "picture", "weight")
        options: dict[str, Any] = {"remove_columns": [name for name in rows.column_names if name not in kept]}
        options |= {"load_from_cache_file": False, "keep_in_memory": True}
        return rows.map(apart, **options) if self.apart else rows.map(together, batched=True, **options)

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        """input_ids, attention_mask (b, s); labels (b,); weights (b,) where some row has one, 1 for those without.

        Where rows have pictures, those of them alone, cut into patches: pictures (pictures, patches, values).
        """
        if self.apart:
            batch = pad_texts([row["input_ids"] for row in rows], tokenizer.pad_token_id)
        else:
            names = [name for name in tokenizer.model_input_names if name in rows[0]]
            batch = dict(tokenizer.pad({name: [row[name] for row in rows] for name in names}, return_tensors="pt"))
        batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=torch.float32)
        weights = [row.get("weight") for row in rows]
        if any(weight is not None for weight in weights):
            batch["weights"] = torch.tensor([1.0 if weight is None else weight for weight in weights])
        pictures = [decode_picture(row["picture"]) for row in rows if row.get("picture") is not None]
        if pictures:
            batch["pictures"] = torch.as_tensor(patches(np.stack(pictures)))
        return batch

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> HeadModel:
        return HeadModel(backbone, tasks, pooling, seed, self.apart)

    def head_parameters(self, tasks: Sequence[Task], model: PreTrainedModel) -> int:
        return sum(head_sizes(tasks).values()) * ((1 + self.apart) * model.config.hidden_size + 1)

    def answers(
        self, task: Task, outputs: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, np.ndarray | list[str]]:
        found = super().answers(task, outputs, tokenizer)
        return found | {"confidence": outputs["confidence"].astype(np.float32)} if task.needs_confidence else found

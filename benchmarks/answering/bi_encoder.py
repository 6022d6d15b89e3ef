"""Multiple choice by a bi-encoder: each option by how well its sentence vector fits that of the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode, Batch, TaskModel, by_sample, likeliest, pad_texts, text_vectors
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel

SHARPNESS = 20.0  # cosines become logits; sentence-transformers train with the same factor


class BiEncoderModel(TaskModel):
    """Score of an option = SHARPNESS * sum_d w_t[d] q[d] o[d], for unit sentence vectors q and o of question and option.

    w_t, one per task, is the head: it starts at 1, where the score is the cosine that sentence encoders are trained for.
    """

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str) -> None:
        super().__init__(backbone, tasks)
        self.pooling = pooling
        self.heads = nn.Embedding(len(tasks), backbone.config.hidden_size)
        nn.init.ones_(self.heads.weight)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        texts: Tensor,
        task_ids: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The best option of each sample.

        Args:
            input_ids: (rows, s): each sample's question and then its options.
            attention_mask: Of these.
            texts: (b,): how many rows each sample has.
            task_ids: (b,).
            labels: (b,): the places of the right options.

        Returns:
            "predictions" (b,), the place of the best option, and with labels "loss", the mean cross entropy over options.
        """
        vectors = text_vectors(self.backbone, input_ids, attention_mask, texts, task_ids, self.pooling)
        questions = (vectors[texts.cumsum(0) - texts] * self.heads(task_ids)).repeat_interleave(texts, dim=0)
        scores = by_sample(SHARPNESS * (questions * vectors).sum(1), texts)[:, 1:]
        result = {"predictions": likeliest(scores)}
        if labels is not None:
            result["loss"] = F.cross_entropy(scores, labels)
        return result

    def head(self, task: Task) -> dict[str, Tensor]:
        """weight (width,), by which the products of the two vectors are summed."""
        return {"weight": self.heads.weight[self.tasks.index(task)]}


@dataclass(frozen=True)
class BiEncoder(AnswerMode):
    """The option whose sentence vector fits the question's best."""

    name: ClassVar[str] = "bi-encoder"
    summary: ClassVar[str] = "each option scored against the question by their sentence vectors"

    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        def tokens(row: dict) -> dict:
            ids = tokenizer([row["question"], *row["options"]], truncation=True, max_length=max_length)["input_ids"]
            return {"input_ids": ids, "labels": row["label"], "length": sum(map(len, ids))}

        text = [name for name in rows.column_names if name != "row"]
        return rows.map(tokens, remove_columns=text, load_from_cache_file=False, keep_in_memory=True)

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        batch = pad_texts([row["input_ids"] for row in rows], tokenizer.pad_token_id)
        return batch | {"labels": torch.tensor([row["labels"] for row in rows])}

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> BiEncoderModel:
        return BiEncoderModel(backbone, tasks, pooling)

    def head_parameters(self, tasks: Sequence[Task], model: PreTrainedModel) -> int:
        return len(tasks) * model.config.hidden_size

"""What an answer mode is: how rows become inputs, what model reads them, how its outputs become answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel

Batch = dict[str, Tensor]
LENGTH_PARTS = 4  # in which a batch of texts is read
DERIVED = {"derived": True}  # metadata of a field of an answer mode that follows from the backbone: nobody sets it
OUTPUTS = ("predictions", "confidence")  # that models give besides a loss, in this order


class TaskModel(nn.Module):
    """An adapted backbone and what is trained on top of it.

    ``forward`` gets what the answer mode's ``collate`` makes. It returns "loss", the mean over samples, where the batch
    holds what a loss needs; and "predictions" (b, ...) otherwise or too.
    """

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.backbone = backbone
        self.tasks = tuple(tasks)

    def head(self, task: Task) -> dict[str, Tensor]:
        """A task's tensors besides its adapter, for export."""
        return {}

    def activation_checkpointing_enable(self, **kwargs: Any) -> None:
        """Recompute the backbone's activations in backward; transformers' Trainer calls this."""
        self.backbone.activation_checkpointing_enable(**kwargs)

    def parameters_by_part(self) -> dict[str, int]:
        """Parameters of the adapters, of the heads, of the base, and how many of them all are trained."""
        adapter = self.backbone.count()
        inside = sum(p.numel() for p in self.backbone.parameters())
        heads = sum(p.numel() for p in self.parameters()) - inside
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return {"adapter": adapter, "heads": heads, "trained": trained, "base": inside - adapter}


@dataclass(frozen=True)
class AnswerMode(ABC):
    """An answer mode; its fields are settings, which a record names. ``language``: it needs a language model."""

    name: ClassVar[str]
    summary: ClassVar[str]
    language: ClassVar[bool] = False

    @property
    def trains_base(self) -> bool:
        """Whether some of the backbone's own parameters are trained too, whatever the method."""
        return False

    @abstractmethod
    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        """Rows of a task as tokens: columns length, row, and what :meth:`collate` needs."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        """A padded batch of the model's inputs but for the task ids."""

    @abstractmethod
    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> TaskModel:
        """The model at its start."""

    def head_parameters(self, tasks: Sequence[Task], model: PreTrainedModel) -> int:
        """How many parameters are trained besides the adapters.

        Args:
            tasks: Those of the run.
            model: The backbone, of which there may be the shapes alone.
        """
        return 0

    def more_positions(self, tasks: Sequence[Task]) -> int:
        """Positions that a backbone needs besides those of the text."""
        return 0

    def answers(
        self, task: Task, outputs: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, np.ndarray | list[str]]:
        """Columns of the predictions, from outputs on rows of a task: "prediction", a class or grade, and more."""
        return {"prediction": outputs["predictions"].astype(np.float32)}


def pad(rows: Sequence[Sequence[int]], value: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Token ids (rows, longest), padded with ``value``, and their mask."""
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), value), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        own = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, own] = torch.tensor(row, dtype=torch.long)
        mask[i, own] = 1
    return ids, mask


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector a row from hidden states (b, s, width): their mean over tokens, or the last one."""
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def pad_texts(texts: Sequence[Sequence[Sequence[int]]], value: int) -> Batch:
    """Texts of samples, one after another: input_ids, attention_mask (rows, longest), and texts (b,), how many of each."""
    ids, mask = pad([text for own in texts for text in own], value)
    return {"input_ids": ids, "attention_mask": mask, "texts": torch.tensor([len(own) for own in texts])}


def text_vectors(
    backbone: AdaptedModel, input_ids: Tensor, attention_mask: Tensor, texts: Tensor, task_ids: Tensor, pooling: str
) -> Tensor:
    """A sentence vector (rows, width) of unit length for each text of :func:`pad_texts`.

    The backbone reads them in parts of like length: questions, options and titles differ too much to be padded alike.
    """
    own_tasks, lengths = task_ids.repeat_interleave(texts), attention_mask.sum(1)
    order = lengths.argsort(stable=True)
    vectors = []
    for rows in order.chunk(LENGTH_PARTS):
        ids, mask = (tensor[rows, : lengths[rows[-1]]] for tensor in (input_ids, attention_mask))
        hidden = backbone(input_ids=ids, attention_mask=mask, task_ids=own_tasks[rows]).last_hidden_state
        vectors.append(F.normalize(pool(hidden, mask, pooling).float(), dim=-1))
    return torch.cat(vectors)[order.argsort()]


def likeliest(scores: Tensor) -> Tensor:
    """The place (b,) of the highest of scores (b, options), where -inf is no option.

    nan where a score is no number, which argmax would hide.
    """
    broken = scores.isnan() | (scores == torch.inf)
    return torch.where(broken.any(1), torch.nan, scores.argmax(1).float())


def by_sample(scores: Tensor, options: Tensor) -> Tensor:
    """Scores (rows,) of all samples' options, ``options`` (b,) of each, as (b, most options), -inf where there are fewer."""
    place = torch.arange(int(options.max()), device=scores.device)
    own = place < options[:, None]
    starts = options.cumsum(0) - options
    return scores[(starts[:, None] + place).clamp(max=len(scores) - 1)].masked_fill(~own, -torch.inf)

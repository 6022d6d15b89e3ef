"""Classes and grades, by a linear head for each task on the sentence vector."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode, Batch, TaskModel, likeliest, pad_texts, pool, text_vectors
from benchmarks.suites.spec import Task
from benchmarks.world.encoder import PATCH, PATCHES
from benchmarks.world.forms import decode_picture
from benchmarks.world.pictures import patches
from mtl_lora import AdaptedModel, InvalidInput
from mtl_lora.errors import unknown
from mtl_lora.layer import generator

TEXTS = ("together", "apart")
SHARPNESS = 10.0  # cosines become logits


class HeadModel(TaskModel):
    """Adapted backbone -> sentence vector -> the head of each sample's task.

    The heads are one linear layer whose outputs are theirs side by side, so that a mixed batch needs no loop.
    Class tasks are trained by cross entropy. Graded tasks by the same on the grade as a probability, scaled to 0..1,
    which keeps all tasks' losses in one unit. apart: the two texts of a pair have a sentence vector each, and the head reads
    how they compare.
    """

    outputs: Tensor  # this and the next ones: a value for each task
    first: Tensor
    graded: Tensor
    low: Tensor
    span: Tensor

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int, apart: bool = False) -> None:
        super().__init__(backbone, tasks)
        self.pooling = pooling
        sizes = _sizes(tasks)
        place = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=0), strict=False))
        self.heads = nn.Linear((1 + apart) * backbone.config.hidden_size, sum(sizes.values()))
        for name, parameter in self.heads.named_parameters():  # the start of nn.Linear, from the run's own seed
            bound = self.heads.in_features**-0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator(seed, "heads", name))
        if apart:
            self._start_alike(tasks, place)
        self.most_outputs = max(sizes.values())
        self._buffer("outputs", torch.tensor([task.outputs for task in tasks]))
        self._buffer("first", torch.tensor([place[task.head_name] for task in tasks]))
        self._buffer("graded", torch.tensor([task.graded for task in tasks]))
        self._buffer("low", torch.tensor([task.scale[0] for task in tasks]))
        self._buffer("span", torch.tensor([task.scale[1] - task.scale[0] for task in tasks]))

    @torch.no_grad()
    def _start_alike(self, tasks: Sequence[Task], place: dict[str, int]) -> None:
        """Let the last class, or the grade, of a pair start higher the more its texts are alike: SHARPNESS * (cosine - 1/2).

        From a random start alone, so few steps teach heads less than the backbone knows already.
        """
        width = self.heads.in_features // 2
        last = sorted({place[task.head_name] + task.outputs - 1 for task in tasks if len(task.inputs) > 1})
        self.heads.weight[last, :width] += SHARPNESS / width
        self.heads.bias[last] -= SHARPNESS / 2

    def _buffer(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        task_ids: Tensor,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pictures: Tensor | None = None,
        texts: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """input_ids, attention_mask, token_type_ids (b, s); task_ids, labels (b,); pictures (those there are, ...).

        texts (b,): where texts are read apart, how many rows of input_ids a sample has, one after another.

        Returns "predictions" (b,): class ids or grades; "confidence" (b,): the probability of the last class, or the grade;
        and with labels "loss", the mean over samples, each times its weight (b,).
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        more = {"token_type_ids": token_type_ids, "pictures": pictures}
        inputs |= {name: tensor for name, tensor in more.items() if tensor is not None}
        if texts is None:
            hidden = self.backbone(**inputs, task_ids=task_ids).last_hidden_state
            pooled = pool(hidden, attention_mask, self.pooling).to(self.heads.weight.dtype)
        else:
            pooled = compared(text_vectors(self.backbone, input_ids, attention_mask, texts, task_ids, self.pooling), texts)
        logits = self._own_logits(self.heads(pooled).float(), task_ids)
        graded, low, span = self.graded[task_ids], self.low[task_ids], self.span[task_ids]
        grade = logits[:, 0]
        graded_by = low + span * grade.sigmoid()
        last = logits.softmax(1).gather(1, self.outputs[task_ids, None] - 1)[:, 0]
        result = {
            "predictions": torch.where(graded, graded_by, likeliest(logits)),
            "confidence": torch.where(graded, graded_by, last),
        }
        if labels is not None:
            classes = torch.where(graded, 0, labels).long()
            share = torch.where(graded, (labels - low) / span, 0.5)
            by_class = F.cross_entropy(logits, classes, reduction="none")
            by_grade = F.binary_cross_entropy_with_logits(grade, share, reduction="none")
            losses = torch.where(graded, by_grade, by_class)
            result["loss"] = (losses if weights is None else weights * losses).mean()
        return result

    def head(self, task: Task) -> dict[str, Tensor]:
        """weight (outputs, width) and bias (outputs,) of the task's own linear layer."""
        start = int(self.first[self.tasks.index(task)])
        own = slice(start, start + task.outputs)
        return {"weight": self.heads.weight[own], "bias": self.heads.bias[own]}

    def _own_logits(self, logits: Tensor, task_ids: Tensor) -> Tensor:
        """From (b, all outputs) to (b, most outputs of a task); where a task has fewer, the rest are -inf."""
        place = torch.arange(self.most_outputs, device=logits.device)
        columns = (self.first[task_ids, None] + place).clamp(max=logits.shape[1] - 1)
        own = place < self.outputs[task_ids, None]
        return logits.gather(1, columns).masked_fill(~own, -torch.inf)


def compared(vectors: Tensor, texts: Tensor) -> Tensor:
    """(b, 2 width) from unit vectors (rows, width) of samples with one text or two, ``texts`` (b,).

    Of two: the products and the distances of their entries, as sentence encoders are tuned on pairs (Reimers and Gurevych,
    2019, with the product added); of one: its own entries, and zeros. Vectors are scaled to entries of about 1.
    """
    vectors = vectors * vectors.shape[-1] ** 0.5
    last = texts.cumsum(0) - 1
    first, second, pair = vectors[last - texts + 1], vectors[last], texts[:, None] > 1
    of_two = torch.cat([first * second, (first - second).abs()], dim=1)
    return torch.where(pair, of_two, torch.cat([first, torch.zeros_like(first)], dim=1))


@dataclass(frozen=True)
class Heads(AnswerMode):
    """A class or a grade of one text, or of a pair, with or without a picture.

    texts: the two of a pair are read "together", as one input, or "apart", each on its own and then compared.
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
        return sum(_sizes(tasks).values()) * ((1 + self.apart) * model.config.hidden_size + 1)

    def answers(
        self, task: Task, outputs: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, np.ndarray | list[str]]:
        found = super().answers(task, outputs, tokenizer)
        return found | {"confidence": outputs["confidence"].astype(np.float32)} if task.needs_confidence else found


def _sizes(tasks: Sequence[Task]) -> dict[str, int]:
    """Outputs of each head; tasks may share one."""
    return {task.head_name: task.outputs for task in tasks}

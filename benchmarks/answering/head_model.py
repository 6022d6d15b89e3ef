"""The model of heads: a sentence vector, and a linear layer for each task on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.answering.base import TaskModel, likeliest, pool, text_vectors
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel
from mtl_lora.layer import generator

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
        sizes = head_sizes(tasks)
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
        """What the head of its task says of each sample.

        Args:
            input_ids: (b, s), or (rows, s) where texts are read apart.
            attention_mask: Of these.
            task_ids: (b,).
            labels: (b,): class ids or grades.
            weights: (b,), of the samples in the loss.
            token_type_ids: As input_ids.
            pictures: (those there are, ...).
            texts: (b,): where texts are read apart, how many rows of input_ids a sample has, one after another.

        Returns:
            "predictions" (b,): class ids or grades; "confidence" (b,): the probability of the last class, or the grade; and
            with labels "loss", the mean over samples, each times its weight.
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


def head_sizes(tasks: Sequence[Task]) -> dict[str, int]:
    """Outputs of each head; tasks may share one."""
    return {task.head_name: task.outputs for task in tasks}

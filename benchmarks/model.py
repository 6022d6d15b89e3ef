"""One backbone, one set of adapters, one linear head a task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import baselines  # noqa: F401  (registers the methods)
from benchmarks.records import RunConfig
from benchmarks.sources import Source
from benchmarks.suite import Task, find_suite
from mtl_lora import AdaptedModel, find_method
from mtl_lora.layer import generator


class MultiTaskModel(nn.Module):
    """Adapted backbone -> sentence vector -> the head of each sample's task.

    The heads are one linear layer whose outputs are theirs side by side, so that a mixed batch needs no loop.
    Class tasks are trained by cross entropy. Graded tasks by the same on the grade as a probability, scaled to 0..1,
    which keeps all tasks' losses in one unit.
    """

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.tasks = tuple(tasks)
        self.pooling = pooling
        sizes = {task.head_name: task.outputs for task in tasks}  # tasks may share a head
        place = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=0), strict=False))
        self.heads = nn.Linear(backbone.config.hidden_size, sum(sizes.values()))
        for name, parameter in self.heads.named_parameters():  # the start of nn.Linear, from the run's own seed
            bound = self.heads.in_features**-0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator(seed, "heads", name))
        self.most_outputs = max(sizes.values())
        self._buffer("outputs", torch.tensor([task.outputs for task in tasks]))
        self._buffer("first", torch.tensor([place[task.head_name] for task in tasks]))
        self._buffer("graded", torch.tensor([task.graded for task in tasks]))
        self._buffer("low", torch.tensor([task.scale[0] for task in tasks]))
        self._buffer("span", torch.tensor([task.scale[1] - task.scale[0] for task in tasks]))

    def _buffer(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        task_ids: Tensor,
        labels: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """input_ids, attention_mask, token_type_ids (b, s); task_ids, labels (b,); pictures (those there are, ...).

        Returns "predictions" (b,): class ids or grades; and with labels "loss", the mean over samples.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        more = {"token_type_ids": token_type_ids, "pictures": pictures}
        inputs |= {name: tensor for name, tensor in more.items() if tensor is not None}
        hidden = self.backbone(**inputs, task_ids=task_ids).last_hidden_state
        pooled = self._pool(hidden, attention_mask).to(self.heads.weight.dtype)
        logits = self._own_logits(self.heads(pooled).float(), task_ids)
        graded, low, span = self.graded[task_ids], self.low[task_ids], self.span[task_ids]
        grade = logits[:, 0]
        result = {"predictions": torch.where(graded, low + span * grade.sigmoid(), logits.argmax(1).float())}
        if labels is not None:
            classes = torch.where(graded, 0, labels).long()
            share = torch.where(graded, (labels - low) / span, 0.5)
            by_class = F.cross_entropy(logits, classes, reduction="none")
            by_grade = F.binary_cross_entropy_with_logits(grade, share, reduction="none")
            result["loss"] = torch.where(graded, by_grade, by_class).mean()
        return result

    def _pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    def _own_logits(self, logits: Tensor, task_ids: Tensor) -> Tensor:
        """From (b, all outputs) to (b, most outputs of a task); where a task has fewer, the rest are -inf."""
        place = torch.arange(self.most_outputs, device=logits.device)
        columns = (self.first[task_ids, None] + place).clamp(max=logits.shape[1] - 1)
        own = place < self.outputs[task_ids, None]
        return logits.gather(1, columns).masked_fill(~own, -torch.inf)

    def activation_checkpointing_enable(self, **kwargs: Any) -> None:
        """Recompute the backbone's activations in backward; transformers' Trainer calls this."""
        self.backbone.activation_checkpointing_enable(**kwargs)

    def parameters_by_part(self) -> dict[str, int]:
        """Parameters of the adapters, of the heads, of the base, and how many of them all are trained."""
        adapter = self.backbone.count()
        heads = sum(p.numel() for p in self.heads.parameters())
        base = sum(p.numel() for p in self.parameters()) - adapter - heads
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return {"adapter": adapter, "heads": heads, "trained": trained, "base": base}


def build_model(run: RunConfig, source: Source) -> MultiTaskModel:
    """The model of a run at its start: pretrained backbone, adapters and heads from the run's seed."""
    tasks = find_suite(run.suite).select(list(run.tasks))
    settings = {name: value for name, value in run.method.items() if name not in ("label", "name")}
    method = find_method(run.method["name"])(**settings)
    # On an accelerator the frozen weights are held in half precision; on a CPU autocast alone is faster.
    dtype = torch.bfloat16 if run.precision == "bfloat16" and torch.cuda.is_available() else torch.float32
    backbone = source.model(run.backbone["id"], run.backbone["revision"], dtype)
    backbone.config.use_cache = False
    adapted = AdaptedModel(backbone, method, run.tasks, run.backbone["targets"], seed=run.seed)
    return MultiTaskModel(adapted, tasks, run.backbone["pooling"], run.seed)

"""The straightforward implementations in use today, as short layers: what ours are timed against, and checked against.

Each takes an AdaptedLinear, uses its very parameters and computes the same function another way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.moelora import MoELoRA
from benchmarks.answering.base import by_sample
from mtl_lora import AdaptedLinear, AdaptedModel, MTLLoRA


class Reference(nn.Module):
    """A layer that stands in for ``ours``. x: (samples, tokens, d_in)."""

    def __init__(self, ours: AdaptedLinear) -> None:
        super().__init__()
        self.base, self.method, self.context = ours.base, ours.method, ours.context
        self.adapter = ours.adapter.to(ours.base.weight.dtype)  # these implementations keep adapters in the model's dtype

    def task_ids(self) -> Tensor:
        return self.context.one_hot().argmax(1)


class GatheredB(Reference):
    """MTL-LoRA as its authors released it: B mixed for every task, A, Lambda and B gathered per sample, three bmm."""

    method: MTLLoRA

    def forward(self, x: Tensor) -> Tensor:
        p, ids, n = self.adapter, self.task_ids(), self.method.up_projections
        mix = torch.softmax(p["w"] / self.method.temperature, dim=-1)
        blocks = p["B"].unflatten(1, (n, self.method.rank)).transpose(0, 1)  # (n, d_out, r)
        up = (mix @ blocks.flatten(1)).unflatten(1, blocks.shape[1:])  # (T, d_out, r)
        a = p["A"][None].index_select(0, torch.zeros_like(ids))
        z = torch.bmm(x, a.transpose(1, 2))
        z = torch.bmm(z, p["Lambda"].index_select(0, ids).transpose(1, 2))
        return self.base(x) + torch.bmm(z, up.index_select(0, ids).transpose(1, 2)) * self.method.scaling


class LoopOverTasks(Reference):
    """MTL-LoRA by sorting the batch by task, splitting it, and running one task after another."""

    method: MTLLoRA

    def forward(self, x: Tensor) -> Tensor:
        p, ids, n = self.adapter, self.task_ids(), self.method.up_projections
        order = ids.argsort()
        counts = ids.bincount(minlength=len(p["w"])).tolist()
        mix = torch.softmax(p["w"] / self.method.temperature, dim=-1)
        blocks = p["B"].unflatten(1, (n, self.method.rank))
        parts = []
        for task, part in enumerate(x[order].split(counts)):
            if len(part):
                up = (blocks * mix[task][None, :, None]).sum(1)
                parts.append(F.linear(F.linear(F.linear(part, p["A"]), p["Lambda"][task]), up))
        return self.base(x) + torch.cat(parts)[order.argsort()] * self.method.scaling


class LoopOverExperts(Reference):
    """MoELoRA with one small LoRA per expert, run one after another and weighed per sample."""

    method: MoELoRA

    def forward(self, x: Tensor) -> Tensor:
        p, size = self.adapter, self.method.rank // self.method.experts
        gates = torch.softmax(p["task"][self.task_ids()] @ p["gate"].T, dim=-1)
        y = self.base(x)
        for i in range(self.method.experts):
            part = slice(i * size, (i + 1) * size)
            y = y + F.linear(F.linear(x, p["A"][part]), p["B"][:, part]) * gates[:, i, None, None] * self.method.scaling
        return y


def substitute(model: AdaptedModel, kind: type[Reference]) -> AdaptedModel:
    """Put a reference in the place of every adapted layer."""
    for name, layer in list(model.layers()):
        parent, _, child = name.rpartition(".")
        setattr(model.base.get_submodule(parent), child, kind(layer))
    return model


def score_whole(
    model: AdaptedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    task_ids: Tensor,
    continuations: Tensor,
    scored: Tensor,
    options: Tensor,
    rows_at_once: int = 32,
) -> Tensor:
    """Scores (b, most options) of what ``benchmarks.answering.log_likelihood.score_continuations`` reads: every option with
    its whole prompt in front, and the logits of every place."""
    own = torch.arange(len(options)).repeat_interleave(options)
    rows = [
        torch.cat([input_ids[prompt][attention_mask[prompt].bool()], text[: int(count.nonzero().max()) + 1]])
        for prompt, text, count in zip(own, continuations, scored, strict=True)
    ]
    scores = []
    for part in torch.arange(len(rows)).split(rows_at_once):
        ids = nn.utils.rnn.pad_sequence([rows[i] for i in part], batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones_like(rows[i]) for i in part], batch_first=True)
        logits = model(input_ids=ids, attention_mask=mask, task_ids=task_ids[own[part]]).logits[:, :-1].float()
        found = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        counted = [F.pad(torch.ones(int(scored[i].sum())), (len(rows[i]) - int(scored[i].sum()), 0)) for i in part]
        scores.append((found * nn.utils.rnn.pad_sequence(counted, batch_first=True)[:, 1:]).sum(1))
    return by_sample(torch.cat(scores), options)

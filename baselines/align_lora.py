"""Align-LoRA (Liu et al., 2025, arXiv 2508.05078): LoRA that is asked to see all tasks alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.lora import LoRA
from mtl_lora.method import Params, register

EPSILON = 1e-8  # added to variances, as released


@register
@dataclass(frozen=True)
class AlignLoRA(LoRA):
    """y = W x + s * B A x, as LoRA; the loss grows by how far the tasks' distributions of A x lie apart.

    The distance of two tasks is the symmetric Kullback-Leibler divergence of normal distributions with diagonal covariance,
    which have the mean and variance of each component of A x; the penalty is the mean over the pairs of tasks in the batch.
    The opposite of MTL-LoRA's idea, which tells tasks apart in that space.

    weight: lambda of the paper, as in the released training script.
    """

    name: ClassVar[str] = "align-lora"
    summary: ClassVar[str] = "LoRA with a loss that aligns tasks in low-rank space (arXiv 2508.05078)"
    penalises: ClassVar[bool] = True

    weight: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("weight")

    def penalty(self, params: Params, z: Tensor, one_hot: Tensor) -> Tensor:
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        tasks = one_hot.to(wide).T  # (T, samples)
        count = tasks.sum(1, keepdim=True) * z.shape[1]
        mean = tasks @ wide.sum(1) / count.clamp(min=1)
        around = wide - (one_hot.to(wide) @ mean)[:, None]
        variance = tasks @ around.square().sum(1) / (count - 1).clamp(min=1) + EPSILON
        ratio = variance[:, None] / variance[None]  # (T, T, r)
        apart = (mean[:, None] - mean[None]).square() * (1 / variance[:, None] + 1 / variance[None])
        divergence = (ratio + 1 / ratio - 2 + apart).sum(-1) / 4
        known = (count > 1).squeeze(1)  # one value has no variance
        pairs = (known[:, None] & known[None]).to(wide).triu(1)
        return self.weight * (pairs * divergence).sum() / pairs.sum().clamp(min=1)

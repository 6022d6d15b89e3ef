"""References: what the methods are compared with, outside any common budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.lora import LoRA
from mtl_lora.method import Factors, Method, Params, Rng, Shapes, register


@register
@dataclass(frozen=True)
class HeadsOnly(Method):
    """y = W x: no adapter, the backbone frozen, the heads alone trained."""

    name: ClassVar[str] = "heads-only"
    summary: ClassVar[str] = "reference: frozen backbone, only the heads are trained"
    reference: ClassVar[bool] = True

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {}

    def constants(self, base_weight: Tensor) -> dict[str, Tensor]:
        d_out, d_in = base_weight.shape
        return {"A": base_weight.new_empty(0, d_in), "B": base_weight.new_empty(d_out, 0)}  # factors of rank 0

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        pass

    def factors(self, params: Params) -> Factors:
        return Factors(params["A"], None, params["B"])


@register
@dataclass(frozen=True)
class FullFineTuning(HeadsOnly):
    """Every weight of the backbone is trained, for all tasks together."""

    name: ClassVar[str] = "full"
    summary: ClassVar[str] = "reference: full fine-tuning on all tasks together"
    trains_base: ClassVar[bool] = True


@register
@dataclass(frozen=True)
class LargerLoRA(LoRA):
    """LoRA as it is. What makes it a reference is its size: that of the largest adapter it is compared with, as far as the
    layers' widths allow."""

    name: ClassVar[str] = "lora-larger"
    summary: ClassVar[str] = "reference: plain LoRA of the size of the largest adapter beside it"
    reference: ClassVar[bool] = True


@register
@dataclass(frozen=True)
class LoRAPerTask(LoRA):
    """y = W x + s * B_t A_t x: a LoRA of its own for each task, T times the parameters; nothing but heads is shared.

    D stacks the A_t and U the B_t; C_t is the diagonal that lets the task's own pass.
    """

    name: ClassVar[str] = "lora-per-task"
    summary: ClassVar[str] = "reference: one LoRA per task, each of the budget"
    reference: ClassVar[bool] = True

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {"A": (num_tasks * self.rank, d_in), "B": (d_out, num_tasks * self.rank)}

    def factors(self, params: Params) -> Factors:
        down, up = params["A"], params["B"]
        tasks = down.shape[0] // self.rank
        own = torch.eye(tasks, dtype=down.dtype, device=down.device).repeat_interleave(self.rank, 1)
        return Factors(down, own, up)

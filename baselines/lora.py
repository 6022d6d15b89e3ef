"""LoRA (Hu et al., 2021, arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, register


@register
@dataclass(frozen=True)
class LoRA(Method):
    """y = W x + s * B A x: one update for all tasks."""

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "one low-rank update shared by all tasks (arXiv 2106.09685)"

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {"A": (self.rank, d_in), "B": (d_out, self.rank)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        params["B"].zero_()

    def factors(self, params: Params) -> Factors:
        return Factors(params["A"], None, params["B"])

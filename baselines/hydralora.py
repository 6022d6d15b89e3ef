"""HydraLoRA (Tian et al., 2024, arXiv 2404.19245): one A, several B that a router mixes anew for each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, register, stable_softmax


@register
@dataclass(frozen=True)
class HydraLoRA(Method):
    """y = W x + s * sum_i softmax(R x)_i B_i A x for each token x; it never sees the task.

    The start is that of the authors' code: A and R Kaiming uniform, B zero. R starts random, so the B_i get other
    gradients and part. How many B_i there are is a setting; the paper chooses it by clustering the data, which its
    code leaves out.

    up_projections: n, the number of B_i.
    """

    name: ClassVar[str] = "hydralora"
    summary: ClassVar[str] = "shared A, several B mixed for each token by a router (arXiv 2404.19245)"
    routes_by_token: ClassVar[bool] = True

    up_projections: int = 3

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {
            "A": (self.rank, d_in),
            "B": (d_out, self.up_projections * self.rank),  # B_1 .. B_n side by side
            "router": (self.up_projections, d_in),
        }

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        params["B"].zero_()
        kaiming_uniform_(params["router"], rng("router"))

    def factors(self, params: Params) -> Factors:
        return Factors(params["A"], None, params["B"])

    def block_weights(self, params: Params, x: Tensor) -> Tensor:
        return stable_softmax(F.linear(x, params["router"].to(x.dtype)))

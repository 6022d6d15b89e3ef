"""MTL-LoRA (Yang et al., 2024, arXiv 2410.09437): shared A and B_1..B_n, a transform Lambda_t for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, register, stable_softmax


@register
@dataclass(frozen=True)
class MTLLoRA(Method):
    """y = W x + s * sum_i p_t^i B_i Lambda_t A x, with p_t = softmax(w_t / temperature).

    The equation is that of the paper as AdapterHub and Ledoyen et al. (2025, Eq. 1) print it; s = alpha / rank
    and the start are those of the authors' released code. The mixing weights w start apart from each other:
    with equal w all B_i would get the same gradient and stay identical forever.

    up_projections: n, the number of B_i. temperature: tau; the smaller, the sharper a task's choice among them.
    """

    name: ClassVar[str] = "mtl-lora"
    summary: ClassVar[str] = "shared A, several B mixed for each task, a task transform between (arXiv 2410.09437)"

    up_projections: int = 3
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("temperature")

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {
            "A": (self.rank, d_in),
            "B": (d_out, self.up_projections * self.rank),  # B_1 .. B_n side by side
            "Lambda": (num_tasks, self.rank, self.rank),
            "w": (num_tasks, self.up_projections),
        }

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        params["B"].zero_()
        params["Lambda"].copy_(torch.eye(self.rank))
        kaiming_uniform_(params["w"], rng("w"))

    def factors(self, params: Params) -> Factors:
        mix = stable_softmax(params["w"], self.temperature)
        core = mix[:, :, None, None] * params["Lambda"][:, None]  # (T, n, r, r)
        return Factors(params["A"], core.flatten(1, 2), params["B"])

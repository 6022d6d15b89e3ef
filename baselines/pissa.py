"""PiSSA (Meng et al., 2024, arXiv 2404.02948): LoRA that starts as the principal part of W."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.lora import LoRA
from mtl_lora.errors import InvalidInput
from mtl_lora.method import Factors, Params, Rng, register


@register
@dataclass(frozen=True)
class PiSSA(LoRA):
    """y = W x + s * (B A - B_0 A_0) x; B_0 A_0 is the best approximation of W / s by that rank, and A, B start there.

    The authors keep W - s B_0 A_0 in place of W. Here W stays as it is and the start is taken away beside it, which
    is the same sum: a merged or exported task is a plain LoRA of twice the rank. Inputs that dropout drops are dropped
    from both parts, so that the model starts as its base under dropout too.
    """

    name: ClassVar[str] = "pissa"
    summary: ClassVar[str] = "LoRA that starts as the principal part of W (arXiv 2404.02948)"

    def constants(self, base_weight: Tensor) -> dict[str, Tensor]:
        most = min(base_weight.shape)
        if self.rank > most:
            raise InvalidInput(f"pissa starts as a part of W: rank {self.rank} is above the {most} that W has")
        rows, values, columns = torch.linalg.svd(base_weight, full_matrices=False)
        root = (values[: self.rank] / self.scaling).sqrt()
        return {"start_A": root[:, None] * columns[: self.rank], "start_B": rows[:, : self.rank] * root}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        params["A"].copy_(params["start_A"])
        params["B"].copy_(params["start_B"])

    def factors(self, params: Params) -> Factors:
        down = torch.cat([params["A"], params["start_A"]])
        return Factors(down, None, torch.cat([params["B"], -params["start_B"]], dim=1))

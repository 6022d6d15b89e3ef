"""DoRA (Liu et al., 2024, arXiv 2402.09353): LoRA on the direction of W, a trained magnitude for each output row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.lora import LoRA
from mtl_lora.method import Factors, Params, Rng, Shapes, register


@register
@dataclass(frozen=True)
class DoRA(LoRA):
    """y = m / ||W + s B A|| * (W + s B A) x, norms over rows, constant in backward (section 4.3 of the paper).

    Dropout acts on the low-rank branch alone, so one product with W is enough; PEFT and the authors' code
    also drop inputs of the (norm ratio - 1) W x term, which needs a second one. Without dropout all agree.
    """

    name: ClassVar[str] = "dora"
    summary: ClassVar[str] = "LoRA with a trained magnitude for each output row (arXiv 2402.09353)"

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {**super().shapes(d_in, d_out, num_tasks), "m": (d_out,)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        super().initialise(params, base_weight, rng)
        params["m"].copy_(self._row_norms(base_weight, params["A"], params["B"]))

    def output_scale(self, params: Params, base_weight: Tensor, factors: Factors) -> Tensor:
        return params["m"] / self._row_norms(base_weight, factors.down, factors.up)

    @torch.no_grad()
    def _row_norms(self, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """||W + s B A|| over rows (d_out,), without forming B A: |w|^2 + 2 s w'(BA) + s^2 (BA)'(BA)."""
        with torch.autocast(weight.device.type, enabled=False):
            weight, s = weight.to(a.dtype), self.scaling
            cross = ((weight @ a.T) * b).sum(1)
            square = ((b @ (a @ a.T)) * b).sum(1)
            return (weight.square().sum(1) + 2 * s * cross + s * s * square).clamp_min(0).sqrt()

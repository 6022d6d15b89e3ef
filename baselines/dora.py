"""DoRA (Liu et al., 2024, arXiv 2402.09353): LoRA on the direction of W, a trained magnitude for each output row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baselines.lora import LoRA
from mtl_lora.method import Params, Rng, Shapes, register


@register
@dataclass(frozen=True)
class DoRA(LoRA):
    """y = m / ||W + s B A|| * (W + s B A) x, norms over rows, constant in backward (section 4.3 of the paper).

    Dropout acts on the low-rank branch alone, so one product with W is enough; PEFT and the authors' code
    also drop inputs of the (norm ratio - 1) W x term, which needs a second one. Without dropout all agree.

    Version 2: in half precision, changes of m smaller than its rounding count. In float32 nothing changed.
    """

    name: ClassVar[str] = "dora"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "LoRA with a trained magnitude for each output row (arXiv 2402.09353)"

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {**super().shapes(d_in, d_out, num_tasks), "m": (d_out,)}

    def constants(self, base_weight: Tensor) -> dict[str, Tensor]:
        return {"row_squares": base_weight.square().sum(1)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        super().initialise(params, base_weight, rng)
        params["m"].copy_(self._row_norms(params, base_weight))

    def output_scale(self, params: Params, base_weight: Tensor) -> Tensor:
        return params["m"] / self._row_norms(params, base_weight)

    @torch.no_grad()
    def _row_norms(self, params: Params, weight: Tensor) -> Tensor:
        """||W + s B A|| over rows (d_out,), without forming B A: |w|^2 + 2 s w'(BA) + s^2 (BA)'(BA).

        Where the update removes most of a row w the terms cancel: the relative error is at most about
        5e-7 ((|w| + |s BA|) / |w + s BA|)^2, which is 2e-4 where 90% is removed.
        """
        a, b, s = params["A"], params["B"], self.scaling
        with torch.autocast(weight.device.type, enabled=False):
            cross = ((weight.to(a.dtype) @ a.T) * b).sum(1)
            square = ((b @ (a @ a.T)) * b).sum(1)
            return (params["row_squares"] + 2 * s * cross + s * s * square).clamp_min(0).sqrt()

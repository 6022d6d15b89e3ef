"""MultiLoRA (Wang et al., 2023, arXiv 2311.11501): n LoRAs in parallel, each output row scaled by a trained factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, register


@register
@dataclass(frozen=True)
class MultiLoRA(Method):
    """y = W x + s * sum_i diag(s_i) B_i A_i x; the s_i start at zero, A_i and B_i Kaiming uniform.

    No code of its authors is public; the alpha / rank on top of the trained s_i is that of the MTL-LoRA comparison.

    modules: n, the number of parallel LoRAs of rank r each.
    """

    name: ClassVar[str] = "multilora"
    summary: ClassVar[str] = "several LoRAs in parallel with trained row scales (arXiv 2311.11501)"

    modules: int = 3

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        stacked = self.modules * self.rank
        return {"A": (stacked, d_in), "B": (d_out, stacked), "scale": (d_out, self.modules)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        kaiming_uniform_(params["B"], rng("B"), fan_in=self.rank)
        params["scale"].zero_()

    def factors(self, params: Params) -> Factors:
        blocks = params["B"].unflatten(1, (self.modules, self.rank)) * params["scale"][:, :, None]
        return Factors(params["A"], None, blocks.flatten(1))

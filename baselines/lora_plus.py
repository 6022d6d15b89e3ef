"""LoRA+ (Hayou et al., 2024, arXiv 2402.12354): LoRA whose B learns faster than its A."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from baselines.lora import LoRA
from mtl_lora.method import register


@register
@dataclass(frozen=True)
class LoRAPlus(LoRA):
    """y = W x + s * B A x, as LoRA; the learning rate of B is ``rate_ratio`` times that of A.

    rate_ratio: lambda of the paper, which finds about 16 best. A gets the recipe's rate.
    """

    name: ClassVar[str] = "lora-plus"
    summary: ClassVar[str] = "LoRA whose B has a higher learning rate than its A (arXiv 2402.12354)"

    rate_ratio: float = 16.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("rate_ratio")

    def rate_factor(self, tensor: str) -> float:
        return self.rate_ratio if tensor == "B" else 1.0

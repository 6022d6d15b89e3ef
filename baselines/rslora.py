"""rsLoRA (Kalajdzievski, 2023, arXiv 2312.03732): LoRA scaled by the root of its rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from baselines.lora import LoRA
from mtl_lora.method import register


@register
@dataclass(frozen=True)
class RsLoRA(LoRA):
    """y = W x + s * B A x with s = alpha / sqrt(rank), so that a high rank learns no slower than a low one."""

    name: ClassVar[str] = "rslora"
    summary: ClassVar[str] = "LoRA scaled by alpha / sqrt(rank) (arXiv 2312.03732)"

    @property
    def scaling(self) -> float:
        return self.alpha / math.sqrt(self.rank)

"""An example of a method of one's own: plain LoRA whose update each task scales for itself.

mtl-lora run examples/shop.yaml --plugin examples/task_scaled_lora.py --methods lora,mtl-lora,task-scaled-lora
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mtl_lora import Factors, Method, register
from mtl_lora.method import Params, Rng, Shapes, kaiming_uniform_


@register
@dataclass(frozen=True)
class TaskScaledLoRA(Method):
    """y = W x + s * g_t B A x with one trained number g_t per task, 1 at the start."""

    name: ClassVar[str] = "task-scaled-lora"
    summary: ClassVar[str] = "one low-rank update, scaled by each task (an example)"

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {"A": (self.rank, d_in), "B": (d_out, self.rank), "g": (num_tasks,)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        params["B"].zero_()
        params["g"].fill_(1)

    def factors(self, params: Params) -> Factors:
        return Factors(params["A"], params["g"][:, None].expand(-1, self.rank), params["B"])

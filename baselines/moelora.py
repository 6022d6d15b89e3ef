"""MoELoRA (MOELoRA, Liu et al., SIGIR 2024, arXiv 2310.18339): LoRA experts weighed by a gate on the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from mtl_lora.errors import unknown
from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, normal_, register, stable_softmax

GATES = ("layer", "shared")


@register
@dataclass(frozen=True)
class MoELoRA(Method):
    """y = W x + s * sum_i g_t^i B_i A_i x, with g_t = softmax(G e_t) over the experts.

    experts: E; each has rank r / E. embedding: width of the task embedding e_t.
    gate: "layer" gives each adapted layer its own e and G, as the MTL-LoRA authors compared it; "shared" has one
    for the model, as the authors of MOELoRA say their paper does (liuqidong07/MOELoRA-peft, issue 21).
    The embedding has T + 1 rows as in both codes; the last is never used but counts as theirs does.
    Dropout draws a mask for each expert, as both codes do; backward then keeps E copies of the input.
    """

    name: ClassVar[str] = "moelora"
    summary: ClassVar[str] = "LoRA experts weighed by a softmax gate on the task (arXiv 2310.18339)"
    small: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"experts": 4, "embedding": 6},
        {"experts": 4, "embedding": 6, "gate": "shared"},
    )

    experts: int = 8
    embedding: int = 64
    gate: str = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gate not in GATES:
            raise unknown(f"{self.name} gate", self.gate, GATES)

    @property
    def dropout_masks(self) -> int:
        return self.experts

    @classmethod
    def rank_step(cls, settings: Mapping[str, Any]) -> int:
        return int(settings.get("experts", cls.experts))

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        experts: Shapes = {"A": (self.rank, d_in), "B": (d_out, self.rank)}  # the E experts stacked
        return {**experts, **self._gate_shapes(num_tasks)} if self.gate == "layer" else experts

    def shared_shapes(self, num_tasks: int) -> Shapes:
        return self._gate_shapes(num_tasks) if self.gate == "shared" else {}

    def _gate_shapes(self, num_tasks: int) -> Shapes:
        return {"task": (num_tasks + 1, self.embedding), "gate": (self.experts, self.embedding)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        normal_(params["A"], rng("A"), std=0.01)
        params["B"].zero_()
        if self.gate == "layer":
            self._initialise_gate(params, rng)

    def initialise_shared(self, params: Params, rng: Rng) -> None:
        if self.gate == "shared":
            self._initialise_gate(params, rng)

    def _initialise_gate(self, params: Params, rng: Rng) -> None:
        normal_(params["task"], rng("task"))
        kaiming_uniform_(params["gate"], rng("gate"))

    def factors(self, params: Params) -> Factors:
        gates = stable_softmax(params["task"][:-1] @ params["gate"].T)  # (T, E)
        return Factors(params["A"], gates.repeat_interleave(self.rank // self.experts, dim=1), params["B"])

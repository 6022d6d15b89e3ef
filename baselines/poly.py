"""Poly (Ponti et al., 2022, arXiv 2202.13914): an inventory of LoRAs of which each task mixes its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mtl_lora.method import Factors, Method, Params, Rng, Shapes, kaiming_uniform_, register

START = 1e-3  # logits start as U(-START, START), in PEFT too


@register
@dataclass(frozen=True)
class Poly(Method):
    """y = W x + s * (sum_i a_ti B_i) (sum_i a_ti A_i) x, with a_t the sigmoids of the task's logits, over their sum.

    As factors: D and U stack the A_i and B_i, and C_t = (a_t a_t^T) (x) I. The authors and PEFT draw relaxed Bernoulli
    gates in training and use the sigmoids afterwards; here they are the sigmoids throughout.

    skills: n, how many LoRAs of rank r there are.
    """

    name: ClassVar[str] = "poly"
    summary: ClassVar[str] = "several LoRAs, A and B mixed for each task (arXiv 2202.13914)"

    skills: int = 4

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        stacked = self.skills * self.rank
        return {"A": (stacked, d_in), "B": (d_out, stacked), "logits": (num_tasks, self.skills)}

    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        kaiming_uniform_(params["A"], rng("A"))
        params["B"].zero_()
        logits = params["logits"]
        logits.copy_(torch.empty(logits.shape, dtype=logits.dtype).uniform_(-START, START, generator=rng("logits")))

    def factors(self, params: Params) -> Factors:
        gates: Tensor = params["logits"].sigmoid()
        gates = gates / gates.sum(-1, keepdim=True)
        pairs = gates[:, :, None] * gates[:, None, :]  # (T, n, n)
        core = torch.kron(pairs, torch.eye(self.rank, dtype=pairs.dtype, device=pairs.device)[None])
        return Factors(params["A"], core, params["B"])

"""W of a linear layer, however its class keeps it: on its side, or in fewer bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def is_transposed(layer: nn.Module) -> bool:
    """Whether a layer keeps its weight as (d_in, d_out): GPT-2's, a class of transformers."""
    return type(layer).__name__ == "Conv1D"


def is_quantised(weight: Tensor) -> bool:
    """Whether a weight is one of torchao's, which multiply like floating ones and hold fewer bits."""
    return type(weight).__module__.startswith("torchao.")


def dense(weight: Tensor) -> Tensor:
    """The floating numbers that a weight stands for: itself, unless it is quantised."""
    return weight.dequantize() if is_quantised(weight) else weight


def matrix(layer: Any) -> Tensor:
    """W (d_out, d_in) of a linear layer: its weight, a view of it, or the numbers that a quantised one stands for."""
    return upright(layer, dense(layer.weight))


def upright(layer: nn.Module, weight: Tensor) -> Tensor:
    """A weight of that layer as (d_out, d_in)."""
    return weight.T if is_transposed(layer) else weight


def dims(layer: Any) -> tuple[int, int]:
    """(d_in, d_out) of a linear layer."""
    d_in, d_out = layer.weight.shape if is_transposed(layer) else reversed(layer.weight.shape)
    return d_in, d_out


def adapter_dtype(base: Tensor) -> torch.dtype:
    """Adapters of half-precision models are trained in float32, as PEFT does by default."""
    return torch.promote_types(base.dtype, torch.float32)

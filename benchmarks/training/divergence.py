"""Runs that end in values that are no numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import nn

from mtl_lora import InvalidInput, trained_tensors


class Diverged(InvalidInput):
    """Training went to values that are no numbers, so that there is nothing to score."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; try a lower --learning-rate")


def refuse_diverged(losses: Iterable[float], model: nn.Module, outputs: Iterable[np.ndarray]) -> None:
    """Raise Diverged where a loss, a trained tensor or an output on the scored rows is nan or infinite.

    All three are looked at: a last step that is too long leaves finite losses, and weights so large that outputs overflow.
    """
    for loss in losses:
        if not np.isfinite(loss):
            raise Diverged(f"the loss became {loss}")
    for name, tensor in trained_tensors(model).items():
        if not tensor.isfinite().all():
            raise Diverged(f"{name} is no number")
    if not all(np.isfinite(values).all() for values in outputs):
        raise Diverged("an answer is no number")

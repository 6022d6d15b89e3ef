"""Parameter budgets: the rank that brings each method closest to the same number of trained parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtl_lora.errors import InvalidInput
from mtl_lora.method import Method

TOLERANCE = 0.10  # a method further than this from the budget is not comparable under it


@dataclass(frozen=True)
class Fit:
    """A method at the rank that meets a budget best. mismatch: (parameters - budget) / budget."""

    method: Method
    parameters: int
    mismatch: float


def parse_budget(text: str, base_parameters: int) -> int:
    """A number of parameters from "73728", "1.5M", "200k" or "0.25%" of the base model."""
    units = {"%": base_parameters / 100, "k": 1e3, "m": 1e6, "b": 1e9}
    number, unit = (text[:-1], units[text[-1].lower()]) if text and text[-1].lower() in units else (text, 1)
    try:
        budget = round(float(number) * unit)
    except (ValueError, OverflowError):
        budget = 0
    if budget < 1 or not text.isascii():  # float() reads digits of every script
        raise InvalidInput(f"budget {text!r} is neither a number of parameters (73728, 200k, 1.5M) nor a percentage (0.25%)")
    return budget


def fit_rank(
    method: type[Method], dims: Sequence[tuple[int, int]], num_tasks: int, budget: int, scaling: float = 2.0, **settings: Any
) -> Fit:
    """``method`` at the rank whose parameter count is closest to ``budget``.

    dims: (d_in, d_out) of each adapted layer. scaling: alpha / rank, the same at every rank. settings: the method's
    others. InvalidInput where the closest rank is more than TOLERANCE away.
    """
    step = method.rank_step(settings)
    if not isinstance(step, int) or step < 1:
        method(**settings)  # says which setting is wrong
    fits = []
    for rank in range(step, max(min(pair) for pair in dims) + 1, step):
        candidate = method(rank=rank, alpha=scaling * rank, **settings)
        parameters = candidate.count(dims, num_tasks)
        fits.append(Fit(candidate, parameters, parameters / budget - 1))
        if parameters > budget:
            break
    if not fits:
        raise InvalidInput(f"{method.name}: the adapted layers are narrower than its smallest rank, {step}")
    best = min(fits, key=lambda fit: abs(fit.mismatch))
    if abs(best.mismatch) > TOLERANCE:
        near = ", ".join(f"{fit.parameters:,} (rank {fit.method.rank})" for fit in fits[-2:])
        raise InvalidInput(
            f"no rank of {method.name} meets a budget of {budget:,} parameters within {TOLERANCE:.0%}; closest: {near}"
        )
    return best

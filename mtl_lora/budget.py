"""Parameter budgets: the rank that brings each method closest to the same number of trained parameters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mtl_lora.errors import InvalidInput
from mtl_lora.method import Method

TOLERANCE = 0.10  # a method further than this from the budget is not comparable under it
CLOSE = 0.02  # what a budget that suits every method is off at most


@dataclass(frozen=True)
class Fit:
    """A method at the rank that meets a budget best.

    Attributes:
        method: At that rank.
        parameters: How many it trains.
        mismatch: (parameters - budget) / budget.
    """

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
    method: type[Method],
    dims: Sequence[tuple[int, int]],
    num_tasks: int,
    budget: int,
    scaling: float = 2.0,
    tolerance: float = TOLERANCE,
    **settings: Any,
) -> Fit:
    """``method`` at the rank whose parameter count is closest to ``budget``.

    Args:
        method: A class of methods.
        dims: (d_in, d_out) of each adapted layer.
        num_tasks: Of the model.
        budget: In trained parameters.
        scaling: alpha / rank, the same at every rank.
        tolerance: How far from the budget the method may be, as a part of it.
        **settings: The method's others.

    Raises:
        InvalidInput: The closest rank is further away.
    """
    fits = [
        Fit(method(rank=rank, alpha=scaling * rank, **settings), parameters, parameters / budget - 1)
        for rank, parameters in counts(method, dims, num_tasks, budget, **settings)
    ]
    best = min(fits, key=lambda fit: abs(fit.mismatch))
    if abs(best.mismatch) > tolerance:
        near = ", ".join(f"{fit.parameters:,} (rank {fit.method.rank})" for fit in fits[-2:])
        raise InvalidInput(
            f"no rank of {method.name} meets a budget of {budget:,} parameters within {TOLERANCE:.0%}; closest: {near}"
        )
    return best


def counts(
    method: type[Method], dims: Sequence[tuple[int, int]], num_tasks: int, most: int, **settings: Any
) -> Iterator[tuple[int, int]]:
    """Each rank of a method with its parameters, up to the first with more than ``most``."""
    step = method.rank_step(settings)
    if not isinstance(step, int) or step < 1:
        method(**settings)  # says which setting is wrong
    widest = max(min(pair) for pair in dims)
    if step > widest:
        raise InvalidInput(f"{method.name}: the adapted layers are narrower than its smallest rank, {step}")
    for rank in range(step, widest + 1, step):
        parameters = method(rank=rank, **settings).count(dims, num_tasks)
        yield rank, parameters
        if parameters > most:
            return


def nearest_budgets(sizes: Sequence[Sequence[int]], budget: int) -> list[int]:
    """The next budgets below and above ``budget`` that every method meets within CLOSE, where there are any.

    Args:
        sizes: For each method its parameters at each rank, ascending.
        budget: In trained parameters.
    """

    def met(wanted: int, ascending: Sequence[int]) -> bool:
        place = bisect_left(ascending, wanted)
        return any(abs(size / wanted - 1) <= CLOSE for size in ascending[max(place - 1, 0) : place + 1])

    every = sorted({size for ascending in sizes for size in ascending})
    suit = [size for size in every if all(met(size, ascending) for ascending in sizes)]
    place = bisect_left(suit, budget)
    return suit[max(place - 1, 0) : place + 1]

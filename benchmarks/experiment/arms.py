"""Arms, the things compared: each method at a rank, so that all have as many parameters or the rank that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.parsing import MethodChoice
from benchmarks.records.recipe import Recipe
from mtl_lora import Fit, InvalidInput, find_method, fit_rank
from mtl_lora.budget import TOLERANCE, counts, nearest_budgets

Arm = tuple[str, int]  # a method's label, and its budget in parameters: 0 where it trains no adapter


@dataclass(frozen=True)
class Arms:
    """The arms of a study.

    dims: (d_in, d_out) of each adapted layer. tasks: how many. rank: of every method that names none of its own, instead
    of the one that meets the budget best. alpha: likewise, instead of the recipe's multiple of the rank.
    """

    choices: Sequence[MethodChoice]
    dims: Sequence[tuple[int, int]]
    tasks: int
    recipe: Recipe
    rank: int | None = None
    alpha: float | None = None

    def fits(self, budgets: Sequence[int]) -> tuple[dict[Arm, Fit], list[str]]:
        """Every arm, and a line for each method that is left out as it was not named and meets no budget.

        A reference that adapts each task apart gets the budget for each task.

        Raises:
            InvalidInput: A method that was named does not meet a budget, or no method does.
        """
        fits: dict[Arm, Fit] = {}
        left_out: dict[str, InvalidInput] = {}
        for budget in budgets:
            for choice in sorted(self.choices, key=_sized_by_others):  # after those others
                try:
                    fits[choice.label, budget if self._adapts(choice) else 0] = self.fit(choice, budget, fits)
                except InvalidInput as error:
                    if choice.named:
                        raise InvalidInput(f"{error}{self._instead(budget)}") from error
                    left_out[f"{choice.label} is left out: {error}"] = error
        if not fits:
            raise next(iter(left_out.values()))
        return fits, list(left_out)

    def fit(self, choice: MethodChoice, budget: int, others: Mapping[Arm, Fit]) -> Fit:
        """A method at its rank, and what it is off the budget; the larger LoRA off the largest of the others."""
        kind, settings = find_method(choice.name), self._settings(choice)
        if not self._adapts(choice):
            return Fit(kind(**settings), 0, 0.0)
        scaling = choice.recipe.get("scaling", self.recipe.scaling)
        larger = _sized_by_others(choice)
        size, tolerance = (self._largest(others, budget), 1.0) if larger else (budget, TOLERANCE)
        rank, alpha = settings.pop("rank", None if larger else self.rank), settings.pop("alpha", self.alpha)
        if rank is None:
            rank = fit_rank(kind, self.dims, self._apart(choice), size, tolerance=tolerance, **settings).method.rank
        method = kind(rank=rank, alpha=scaling * rank if alpha is None else alpha, **settings)
        parameters = method.count(self.dims, self._apart(choice))
        return Fit(method, parameters, parameters / size - 1)

    def nearest(self, budget: int) -> list[int]:
        """The nearest budgets below and above that all methods meet within 2%."""
        fitted = [c for c in self.choices if self._adapts(c) and "rank" not in c.settings and c.name != LARGER]
        smallest = [next(self._counts(choice, budget)) for choice in fitted]
        most = 2 * max([budget, *smallest])
        return nearest_budgets([list(self._counts(choice, most)) for choice in fitted], budget) if fitted else []

    def _counts(self, choice: MethodChoice, most: int) -> Iterator[int]:
        """Parameters at each rank."""
        settings = {name: value for name, value in self._settings(choice).items() if name != "alpha"}
        for _, size in counts(find_method(choice.name), self.dims, self._apart(choice), most, **settings):
            yield size

    def _largest(self, fits: Mapping[Arm, Fit], budget: int) -> int:
        """Parameters of the largest adapter of a budget, all tasks together."""
        methods = [fit.method for (_, size), fit in fits.items() if size == budget and fit.method.name != LARGER]
        if not methods:
            raise InvalidInput(f"{LARGER} has the size of the largest other adapter: name other methods with it")
        return max(method.count(self.dims, self.tasks) for method in methods)

    def _settings(self, choice: MethodChoice) -> dict[str, Any]:
        return {"dropout": self.recipe.dropout, **choice.settings}

    def _adapts(self, choice: MethodChoice) -> bool:
        return bool(find_method(choice.name)().shapes(1, 1, 1))

    def _apart(self, choice: MethodChoice) -> int:
        """Tasks that share an adapter of the budget."""
        return 1 if find_method(choice.name).reference else self.tasks

    def _instead(self, budget: int) -> str:
        nearest = " or ".join(f"{size:,}" for size in self.nearest(budget))
        return f"; all these methods meet {nearest} within 2%" if nearest else ""


def _sized_by_others(choice: MethodChoice) -> bool:
    return choice.name == LARGER and "rank" not in choice.settings

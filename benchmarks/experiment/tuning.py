"""Protocol ``tuned``: every method at its own best learning rate, found by the same number of trials.

Trials are runs at every rate of one grid and every tuning seed, scored on the dev split: rows set apart from training. One
rule chooses for all methods. Report runs then have that rate, seeds that no trial had, and are scored on the test split.
``tuned-reduced`` tries every second rate. ``tuned-halved`` tries every rate with one tuning seed and the better half of them
with each further one, up to a budget of trials (successive halving: Jamieson and Talwalkar, 2016).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

from benchmarks.words import plural
from mtl_lora.errors import InvalidInput

REDUCED = "tuned-reduced"
HALVED = "tuned-halved"
TUNED = ("tuned", REDUCED, HALVED)
SERIES = (1.1, 2.0, 3.6, 6.3)  # learning rates of a decade, evenly spaced
GROWTH = 2  # rates that a grid grows by at an edge
GROWTHS = 2  # times it grows at most
SHIFT = 10  # full fine-tuning tries rates so many times lower: its best ones are


@dataclass(frozen=True)
class Tuning:
    """What is tried: each learning rate, ascending, with each seed.

    stride: of the rates that the grid grows by. growths: how often it has grown. values: how many the knob of each arm has,
    all tried at each rate; 1 without knobs. budget: the most trials that an arm has, by halving; None tries all.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    stride: int = 1
    growths: int = 0
    values: int = 1
    budget: int | None = None

    def __post_init__(self) -> None:
        if not self.rates or len(set(self.rates)) != len(self.rates) or not all(0 < r < math.inf for r in self.rates):
            rates = ",".join(f"{rate:g}" for rate in self.rates)
            raise InvalidInput(f"learning rates to try must be different finite numbers above 0, not {rates!r}")
        if self.budget is not None and self.budget < self.candidates:
            what = f"{self.values} values at each of " if self.values > 1 else "each of "
            raise InvalidInput(
                f"a budget of {plural(self.budget, 'trial')} does not try {what}{len(self.rates)} learning rates once"
            )

    @property
    def candidates(self) -> int:
        """How many each arm has: rates, with each value of its knob."""
        return len(self.rates) * self.values

    @property
    def rounds(self) -> list[tuple[tuple[int, ...], int]]:
        """The seeds of each round of trials, and how many candidates of an arm are tried with each of them.

        One round of everything; by halving a round a seed, of two candidates at least.
        """
        if self.budget is None:
            return [(self.seeds, self.candidates)]
        rounds: list[tuple[tuple[int, ...], int]] = []
        size, left = self.candidates, self.budget
        for seed in self.seeds:
            rounds.append(((seed,), size))
            left -= size
            size = min(math.ceil(size / 2), left)
            if size < 2:
                break
        return rounds

    @property
    def trials(self) -> int:
        """How many each arm has."""
        return sum(len(seeds) * size for seeds, size in self.rounds)

    @property
    def at_limit(self) -> bool:
        """Whether it grows no more."""
        return self.growths == GROWTHS

    def grown(self, edges: Collection[str | None]) -> Tuning:
        """With more rates at these edges, "low" and "high"; the same where there is none of them, at the limit, and where no
        budget is left to try them."""
        if self.at_limit or not {"low", "high"} & set(edges):
            return self
        rates = list(self.rates)
        for _ in range(GROWTH):
            rates = [_next(rates[0], -self.stride)] * ("low" in edges) + rates
            rates += [_next(rates[-1], self.stride)] * ("high" in edges)
        if self.budget is not None and self.budget < len(rates) * self.values:
            return self
        return dataclasses.replace(self, rates=tuple(rates), growths=self.growths + 1)


def window(lowest: float, highest: float) -> tuple[float, ...]:
    """The rates of the series from ``lowest`` to ``highest``."""
    return tuple(rate for rate in map(_rate, range(_place(lowest), _place(highest) + 2)) if lowest <= rate <= highest)


def shifted(rate: float) -> float:
    """What full fine-tuning tries in place of a rate."""
    return float(f"{rate / SHIFT:.6g}")


def _rate(place: int) -> float:
    decade, within = divmod(place, len(SERIES))
    return float(f"{SERIES[within]}e{decade}")


def _place(rate: float) -> int:
    """The place in the series of a rate, or of the next one below it."""
    place = math.floor(math.log10(rate)) * len(SERIES) - 1
    while _rate(place + 1) <= rate:
        place += 1
    return place


def _next(rate: float, stride: int) -> float:
    """The rate of the series that lies ``stride`` beyond a rate, above it or (negative) below it."""
    place = _place(rate)
    between = stride < 0 and _rate(place) < rate
    return _rate(place + stride + between)

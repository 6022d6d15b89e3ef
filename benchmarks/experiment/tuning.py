"""Protocol ``tuned``: every method at its own best learning rate, found by the same number of trials.

Trials are runs at every rate of one grid and every tuning seed, scored on the dev split: rows set apart from training. One
rule chooses for all methods. Report runs then have that rate, seeds that no trial had, and are scored on the test split.
``tuned-reduced`` tries every second rate. ``tuned-halved`` tries every rate with one tuning seed and the better half of them
with each further one, up to a budget of trials (successive halving: Jamieson and Talwalkar, 2016).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.records.config import Choice, RunConfig, Trial
from benchmarks.records.schema import FailureRecord, Record, RunRecord
from mtl_lora.errors import InvalidInput

REDUCED = "tuned-reduced"
HALVED = "tuned-halved"
TUNED = ("tuned", REDUCED, HALVED)
SERIES = (1.1, 2.0, 3.6, 6.3)  # learning rates of a decade, evenly spaced
GROWTH = 2  # rates that a grid grows by at an edge
GROWTHS = 2  # times it grows at most
SHIFT = 10  # full fine-tuning tries rates so many times lower: its best ones are
RULE = "the highest mean score on the dev split over tuning seeds; of rates within one standard error of it, the lowest"
HALVING = f"all rates with one tuning seed, then the better half of them with the next, and so on; of the last ones {RULE}"


@dataclass(frozen=True)
class Tuning:
    """What is tried: each learning rate, ascending, with each seed.

    stride: of the rates that the grid grows by. growths: how often it has grown. budget: the most trials that an arm has,
    by halving; None tries all.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    stride: int = 1
    growths: int = 0
    budget: int | None = None

    def __post_init__(self) -> None:
        if not self.rates or len(set(self.rates)) != len(self.rates) or not all(0 < r < math.inf for r in self.rates):
            rates = ",".join(f"{rate:g}" for rate in self.rates)
            raise InvalidInput(f"learning rates to try must be different finite numbers above 0, not {rates!r}")
        if self.budget is not None and self.budget < len(self.rates):
            raise InvalidInput(
                f"a budget of {self.budget} trials does not try each of {len(self.rates)} learning rates once"
            )

    @property
    def rounds(self) -> list[tuple[tuple[int, ...], int]]:
        """The seeds of each round of trials, and how many rates of an arm are tried with each of them.

        One round of everything; by halving a round a seed, of two rates at least.
        """
        if self.budget is None:
            return [(self.seeds, len(self.rates))]
        rounds: list[tuple[tuple[int, ...], int]] = []
        size, left = len(self.rates), self.budget
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
        if self.budget is not None and self.budget < len(rates):
            return self
        return dataclasses.replace(self, rates=tuple(rates), growths=self.growths + 1)


def window(lowest: float, highest: float) -> tuple[float, ...]:
    """The rates of the series from ``lowest`` to ``highest``."""
    return tuple(rate for rate in map(_rate, range(_place(lowest), _place(highest) + 2)) if lowest <= rate <= highest)


def choose(trials: Sequence[Trial], budget: int | None = None) -> Choice:
    """The rate that ``RULE`` chooses of trials at each rate with the same seeds. One at which any diverged is not chosen.

    Args:
        budget: Of trials that were chosen by halving, which are checked for that; the rule is then ``HALVING``.

    Raises:
        InvalidInput: There is no trial, one is missing, or some trial diverged at every rate.
    """
    seeds = {trial.seed for trial in trials}
    if budget is not None and trials:
        _check_halving(trials, budget)
    tried = by_rate(trials) if budget is None else _last(trials)
    for rate, own in tried.items():
        if {trial.seed for trial in own} != seeds:
            raise InvalidInput(f"trials at learning rate {rate:g} lack seeds that others have: no rate can be chosen")
    scores = scores_of(tried)
    means = {rate: statistics.fmean(own) for rate, own in scores.items()}
    if not means:
        raise InvalidInput("no learning rate can be chosen: trials are missing or failed, or some diverged at every rate")
    best = max(means, key=means.__getitem__)
    error = statistics.stdev(scores[best]) / math.sqrt(len(seeds)) if len(seeds) > 1 else 0.0
    chosen = min(rate for rate, mean in means.items() if mean >= means[best] - error)
    edges = [pick(trial.learning_rate for trial in trials) for pick in (min, max)]
    return Choice(chosen, RULE if budget is None else HALVING, tuple(trials), on_edge=best in edges, budget=budget)


def better(trials: Iterable[Trial], size: int) -> list[float]:
    """Of the rates that were tried with every seed, those with the highest means, ascending: the next round of halving.

    Of equal ones the lower is better, and those at which a trial diverged are the worst.
    """
    last = _last(trials)
    means = {rate: statistics.fmean(own) for rate, own in scores_of(last).items()}
    return sorted(sorted(last, key=lambda rate: (-means.get(rate, -math.inf), rate))[:size])


def edge(trials: Sequence[Trial]) -> str | None:
    """The edge of the grid, "low" or "high", that the best rate lies on; low where all rates diverge."""
    tried = by_rate(trials)
    means = {rate: statistics.fmean(own) for rate, own in scores_of(tried).items()}
    best = max(means, key=means.__getitem__) if means else min(tried)
    return "low" if best == min(tried) else "high" if best == max(tried) else None


def by_rate(trials: Iterable[Trial]) -> Mapping[float, list[Trial]]:
    """The trials at each rate, in the order of rates."""
    tried: dict[float, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.learning_rate, trial.seed)):
        tried.setdefault(trial.learning_rate, []).append(trial)
    return tried


def scores_of(tried: Mapping[float, Sequence[Trial]]) -> dict[float, list[float]]:
    """The scores at each rate, but for those at which a trial diverged."""
    scores = {rate: [trial.score for trial in own if trial.score is not None] for rate, own in tried.items()}
    return {rate: own for rate, own in scores.items() if len(own) == len(tried[rate])}


def trial_of(record: Record) -> Trial:
    """What a trial has found, from its record."""
    rate = record.config.recipe.learning_rate
    return Trial(record.id, rate, record.config.seed, None if isinstance(record, FailureRecord) else record.score)


def verify(record: RunRecord, find: Callable[[str], Record | None]) -> None:
    """Check the choice of a report run, where it has one, against the records of its trials.

    Args:
        find: Gives the record of a run by its id, or None.

    Raises:
        InvalidInput: A trial is missing, is of something else, has another score; or the rule chooses otherwise.
    """
    choice, title = record.config.method.choice, f"{record.config.title} ({record.id})"
    if choice is None:
        return
    for trial in choice.trials:
        found = find(trial.id)
        if found is None:
            raise InvalidInput(f"{title} has its learning rate by trial {trial.id}, whose record is missing")
        if _compared(found.config) != _compared(record.config) or found.config.stage != "trial":
            raise InvalidInput(
                f"{title} has its learning rate by trial {trial.id}, which is of {found.config.suite}, "
                f"{found.config.title}: trials are of the same suite, data, method and recipe"
            )
        if trial_of(found) != trial:
            raise InvalidInput(f"{title} has its learning rate by trial {trial.id}, whose record says otherwise")
    ruled = choose(choice.trials, choice.budget).learning_rate
    if not ruled == choice.learning_rate == record.config.recipe.learning_rate:
        raise InvalidInput(f"{title} has another learning rate than its trials choose, {ruled:g}")


def shifted(rate: float) -> float:
    """What full fine-tuning tries in place of a rate."""
    return float(f"{rate / SHIFT:.6g}")


def _last(trials: Iterable[Trial]) -> dict[float, list[Trial]]:
    """The trials at those rates that have most: at all rates, unless some were left out by halving."""
    tried = by_rate(trials)
    most = max(map(len, tried.values()), default=0)
    return {rate: own for rate, own in tried.items() if len(own) == most}


def _check_halving(trials: Iterable[Trial], budget: int) -> None:
    """InvalidInput where these are not the trials that halving makes of their rates and seeds."""
    by_seed: dict[int, list[Trial]] = {}
    for trial in trials:
        by_seed.setdefault(trial.seed, []).append(trial)
    first, *others = sorted(by_seed.values(), key=len, reverse=True)
    sizes = [size for _, size in Tuning(tuple(by_rate(first)), tuple(by_seed), budget=budget).rounds[1:]]
    so_far = first
    for own, size in zip(others, [*sizes, *[0] * len(others)], strict=False):
        if list(by_rate(own)) != better(so_far, size):
            raise InvalidInput(f"trials are not those of halving by a budget of {budget}: no rate can be chosen")
        so_far = [*so_far, *own]


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


def _compared(run: RunConfig) -> RunConfig:
    """What a trial and the report runs it serves have in common."""
    recipe = dataclasses.replace(run.recipe, learning_rate=1.0)
    method = dataclasses.replace(run.method, choice=None)
    return dataclasses.replace(run, recipe=recipe, method=method, split="", data={}, seed=0, stage=None)

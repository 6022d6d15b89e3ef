"""How trials choose under protocol ``tuned``: one rule for all methods, and the check of a choice against its trials."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.experiment.tuning import Tuning
from benchmarks.records.config import Candidate, Choice, RunConfig, Trial
from benchmarks.records.schema import FailureRecord, Record, RunRecord
from mtl_lora.errors import InvalidInput

RULE = "the highest mean score on the dev split over tuning seeds; of rates within one standard error of it, the lowest"
HALVING = f"all rates with one tuning seed, then the better half of them with the next, and so on; of the last ones {RULE}"
KNOB = "; of the values of its knob at that rate, the one with the highest mean"


def choose(trials: Sequence[Trial], budget: int | None = None) -> Choice:
    """What ``RULE`` chooses of trials of each candidate with the same seeds. One of which any diverged is not chosen.

    Args:
        budget: Of trials by halving, which are checked for that; the rule is then ``HALVING``.

    Raises:
        InvalidInput: There is no trial, one is missing, or some trial of every candidate diverged.
    """
    if budget is not None and trials:
        _check_halving(trials, budget)
    tried = _ruled(trials, budget)
    seeds = {trial.seed for trial in trials}
    for candidate, own in tried.items():
        if {trial.seed for trial in own} != seeds:
            rate = candidate.learning_rate
            raise InvalidInput(f"trials at learning rate {rate:g} lack seeds that others have: no rate can be chosen")
    best = best_of(trials, budget)
    if best is None:
        raise InvalidInput("no learning rate can be chosen: trials are missing or failed, or some diverged at every rate")
    means = means_of(tried)
    near = [candidate for candidate, mean in means.items() if mean >= best.mean - best.error]
    lowest = min(candidate.learning_rate for candidate in near)
    chosen = max((c for c in near if c.learning_rate == lowest), key=means.__getitem__)
    edges = [pick(trial.learning_rate for trial in trials) for pick in (min, max)]
    return Choice(
        learning_rate=chosen.learning_rate,
        rule=(RULE if budget is None else HALVING) + (KNOB if chosen.value is not None else ""),
        trials=tuple(trials),
        on_edge=best.candidate.learning_rate in edges,
        budget=budget,
        value=chosen.value,
    )


class Best(NamedTuple):
    """The candidate with the highest mean dev score, that mean, and its standard error over tuning seeds (0 of one)."""

    candidate: Candidate
    mean: float
    error: float


def best_of(trials: Sequence[Trial], budget: int | None) -> Best | None:
    """The best of the candidates that ``RULE`` chooses among; None where some trial of each diverged. Arguments as above."""
    tried = _ruled(trials, budget)
    means = means_of(tried)
    if not means:
        return None
    best = max(means, key=means.__getitem__)
    scores = [trial.score for trial in tried[best] if trial.score is not None]
    return Best(best, means[best], statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0)


def better(trials: Iterable[Trial], size: int) -> list[Candidate]:
    """Of the candidates that were tried with every seed, those with the highest means: the next round of halving.

    Of equal ones that of the lower rate is better; those of which a trial diverged are the worst.
    """
    last = _last(trials)
    means = means_of(last)
    best = sorted(last, key=lambda candidate: -means.get(candidate, -math.inf))[:size]
    return [candidate for candidate in last if candidate in best]


def edge(trials: Sequence[Trial]) -> str | None:
    """The edge of the grid, "low" or "high", that the best rate lies on; low where all rates diverge."""
    means = means_of(by_candidate(trials))
    rates = [trial.learning_rate for trial in trials]
    best = max(means, key=means.__getitem__).learning_rate if means else min(rates)
    return "low" if best == min(rates) else "high" if best == max(rates) else None


def by_candidate(trials: Iterable[Trial]) -> dict[Candidate, list[Trial]]:
    """The trials of each candidate, in the order of rates."""
    tried: dict[Candidate, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.learning_rate, trial.seed)):
        tried.setdefault(trial.candidate, []).append(trial)
    return tried


def means_of(tried: Mapping[Candidate, Sequence[Trial]]) -> dict[Candidate, float]:
    """The mean score of each candidate, but for those of which a trial diverged."""
    scores = {candidate: [trial.score for trial in trials if trial.score is not None] for candidate, trials in tried.items()}
    return {candidate: statistics.fmean(told) for candidate, told in scores.items() if len(told) == len(tried[candidate])}


def trial_of(record: Record) -> Trial:
    """What a trial has found, from its record."""
    candidate = record.config.candidate
    score = None if isinstance(record, FailureRecord) else record.score
    return Trial(record.id, candidate.learning_rate, record.config.seed, score, candidate.value)


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
        tried = find(trial.id)
        if tried is None:
            raise InvalidInput(f"{title} has its learning rate by trial {trial.id}, whose record is missing")
        if _compared(tried.config) != _compared(record.config) or tried.config.stage != "trial":
            raise InvalidInput(
                f"{title} has its learning rate by trial {trial.id}, which is of {tried.config.suite}, "
                f"{tried.config.title}: trials are of the same suite, data, method and recipe"
            )
        if trial_of(tried) != trial:
            raise InvalidInput(f"{title} has its learning rate by trial {trial.id}, whose record says otherwise")
    ruled = choose(choice.trials, choice.budget).candidate
    if not ruled == choice.candidate == record.config.candidate:
        raise InvalidInput(f"{title} has another learning rate than its trials choose: {ruled}")


def _ruled(trials: Sequence[Trial], budget: int | None) -> dict[Candidate, list[Trial]]:
    """The candidates that ``RULE`` chooses among, with their trials."""
    return by_candidate(trials) if budget is None else _last(trials)


def _last(trials: Iterable[Trial]) -> dict[Candidate, list[Trial]]:
    """The candidates that have most trials: all of them, unless some were left out by halving."""
    tried = by_candidate(trials)
    most = max(map(len, tried.values()), default=0)
    return {candidate: own for candidate, own in tried.items() if len(own) == most}


def _check_halving(trials: Iterable[Trial], budget: int) -> None:
    """InvalidInput where these are not the trials that halving makes of their candidates and seeds."""
    by_seed: dict[int, list[Trial]] = {}
    for trial in trials:
        by_seed.setdefault(trial.seed, []).append(trial)
    so_far, *others = sorted(by_seed.values(), key=len, reverse=True)
    rates = tuple({trial.learning_rate: None for trial in so_far})
    grid = Tuning(rates, tuple(by_seed), values=len(so_far) // len(rates), budget=budget)
    sizes = [size for _, size in grid.rounds[1:]]
    for tried, size in zip(others, [*sizes, *[0] * len(others)], strict=False):
        if set(by_candidate(tried)) != set(better(so_far, size)):
            raise InvalidInput(f"trials are not those of halving by a budget of {budget}: no rate can be chosen")
        so_far = [*so_far, *tried]


def _compared(run: RunConfig) -> RunConfig:
    """What a trial and the report runs it serves have in common: a knob may change the rank that meets the budget."""
    knob = run.method.knob
    free = {knob, "rank", "alpha"} if knob else set()
    settings = {name: value for name, value in run.method.settings.items() if name not in free}
    tuned = [name for name in ("learning_rate", knob) if name and name not in run.method.settings]
    recipe = run.recipe.with_values(dict.fromkeys(tuned, 1.0))
    method = dataclasses.replace(run.method, choice=None, settings=settings)
    return dataclasses.replace(run, recipe=recipe, method=method, split="", data={}, seed=0, stage=None)

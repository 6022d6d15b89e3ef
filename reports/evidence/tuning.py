"""How learning rates were chosen, under protocol tuned: from the choices that records hold, checked against the trials."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from benchmarks.experiment.tuning import by_rate
from benchmarks.records.config import Choice
from reports.evidence.comparison import Comparison, Entry


@dataclass(frozen=True)
class Tuned:
    """An arm and the trials behind its rate.

    Attributes:
        means: rate -> mean dev score in percent over tuning seeds; of those rates at which no trial diverged.
        seeds: rate -> the same seed by seed; of those that did not diverge.
        default: the rate of the recipe, by which methods are trained that are not tuned.
    """

    entry: Entry
    choice: Choice
    means: dict[float, float]
    seeds: dict[float, list[float]]
    default: float

    @property
    def rate(self) -> float:
        """The chosen one."""
        return self.choice.learning_rate

    @property
    def diverged(self) -> int:
        """Trials that did."""
        return sum(trial.score is None for trial in self.choice.trials)

    def best_of(self, count: int) -> float:
        """The mean dev score of the best of so many rates, on average over which of the grid these are; a rate at which
        trials diverged counts as 0."""
        scores = sorted(self.means.get(rate, 0.0) for rate in self.seeds)
        ways = [math.comb(place, count - 1) for place in range(len(scores))]  # of which each is the best
        return sum(way * score for way, score in zip(ways, scores, strict=True)) / math.comb(len(scores), count)


def tuned(comparison: Comparison, budget: int) -> list[Tuned]:
    """Every arm of a budget that has a choice, in display order."""
    choices = {(r.config.method.label, r.config.budget): r.config.method.choice for r in comparison.records}
    found = []
    for entry in comparison.at(budget):
        choice = choices[entry.label, entry.budget]
        if choice is not None:
            tried = by_rate(choice.trials)
            scores = {rate: [100 * t.score for t in own if t.score is not None] for rate, own in tried.items()}
            means = {rate: statistics.fmean(own) for rate, own in scores.items() if len(own) == len(tried[rate])}
            found.append(Tuned(entry, choice, means, scores, comparison.config.recipe.learning_rate))
    return found

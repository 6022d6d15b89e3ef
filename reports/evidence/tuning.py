"""How learning rates were chosen, under protocol tuned: from the choices that records hold, checked against the trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.experiment.choosing import Best, best_of, by_candidate, means_of
from benchmarks.records.config import Candidate, Choice
from reports.evidence.comparison import Comparison
from reports.evidence.entries import Entry


@dataclass(frozen=True)
class Tuned:
    """An arm and the trials behind its rate.

    Attributes:
        knob: the setting that was tuned beside the rate.
        means: mean dev score of each candidate in percent over tuning seeds, but for those of which a trial diverged.
        seeds: the same of all candidates seed by seed, but for trials that diverged.
        best: the candidate with the highest mean dev score, from which the rule starts.
        default: the rate of the recipe, by which methods are trained that are not tuned.
    """

    entry: Entry
    choice: Choice
    knob: str | None
    means: dict[Candidate, float]
    seeds: dict[Candidate, list[float]]
    best: Best
    default: float

    @property
    def rate(self) -> float:
        """The chosen one."""
        return self.choice.learning_rate

    @property
    def chosen(self) -> str:
        """In words."""
        return f"{self.rate:g}" + ("" if self.knob is None else f", {self.knob} {self.choice.value}")

    @property
    def label(self) -> str:
        """Of the arm with the chosen value of its knob."""
        return self.entry.label + ("" if self.knob is None else f", {self.knob} {self.choice.value}")

    @property
    def diverged(self) -> int:
        """Trials that did."""
        return sum(trial.score is None for trial in self.choice.trials)

    def at(self, rate: float) -> float | None:
        """The mean dev score at a rate with the chosen value of the knob; None where there is none."""
        return self.means.get(Candidate(rate, self.choice.value))

    @property
    def dev_score(self) -> float:
        """The mean dev score of what was chosen."""
        return self.means[self.choice.candidate]

    @property
    def highest(self) -> str:
        """The highest mean dev score in percent, its standard error, and where that is."""
        knob = "" if self.knob is None else f", {self.knob} {self.best.candidate.value}"
        return f"{100 * self.best.mean:.1f} ({100 * self.best.error:.1f}) at {self.best.candidate.learning_rate:g}{knob}"

    def best_of(self, count: int) -> float:
        """The mean dev score of the best of so many candidates, on average over which of the grid these are; one of which a
        trial diverged counts as 0."""
        scores = sorted(self.means.get(candidate, 0.0) for candidate in self.seeds)
        ways = [math.comb(place, count - 1) for place in range(len(scores))]  # of which each is the best
        return sum(way * score for way, score in zip(ways, scores, strict=True)) / math.comb(len(scores), count)


def tuned(comparison: Comparison, budget: int) -> list[Tuned]:
    """Every arm of a budget that has a choice, in display order."""
    methods = {(r.config.method.label, r.config.budget): r.config.method for r in comparison.records}
    found = []
    for entry in comparison.at(budget):
        method = methods[entry.label, entry.budget]
        if method.choice is not None:
            tried = by_candidate(method.choice.trials)
            means = {candidate: 100 * mean for candidate, mean in means_of(tried).items()}
            seeds = {candidate: [100 * t.score for t in own if t.score is not None] for candidate, own in tried.items()}
            default = comparison.config.recipe.learning_rate
            best = best_of(method.choice.trials, method.choice.budget)
            assert best is not None, "there is a choice"
            found.append(Tuned(entry, method.choice, method.knob, means, seeds, best, default))
    return found

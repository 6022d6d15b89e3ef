"""What the data supports and what not: contests between methods as a table, and in plain sentences."""

from __future__ import annotations

from itertools import combinations

from mtl_lora import MTLLoRA
from reports.evidence.comparison import PLAIN, Comparison, Entry, size
from reports.evidence.significance import RESAMPLES, UNSHOWN, Certainty, Contest
from reports.tables.footnotes import INTERVAL, seeds_of
from reports.tables.table import Table, Text

NOTES = (
    f"First over second on the suite's mean, in points of percent, over the seeds that both have. 95% interval: {INTERVAL}.",
    "p: the larger one of the bootstrap and of Student's t over seeds, corrected by Holm's method among the pairs of "
    "methods matched at a budget, and apart from these among the pairs of one of them and a reference; intervals are not "
    "corrected. Bold, and called sure: p < 0.05 and an interval without 0; never with one seed. Ahead or behind, but not "
    "surely: an interval without 0 alone. With three seeds, to be sure takes differences much the same in all of them.",
    f"Bootstrap: {RESAMPLES:,} resamples of scored rows and of seeds, paired; its p cannot fall below twice their inverse "
    "times the number of pairs. Tasks that are ranked by query are not paired: records do not name queries.",
    "Effect: mean by standard deviation of the differences over tasks and seeds (Cohen's d_z). Tasks won, lost: on how "
    "many the first scored higher or lower, in parentheses on how many surely, by Holm's method among that task's pairs.",
)


def contests_table(comparison: Comparison, certainties: dict[int, Certainty], name: str) -> Table | None:
    """A row a pair of methods and budget; None where there is no pair."""
    rows = []
    for budget, certainty in certainties.items():
        for first, second in combinations(certainty.entries, 2):
            contest = certainty.contest(first.label, second.label)
            if contest:
                rows.append(
                    [
                        f"{budget:,}",
                        Text(first.label, runs=tuple(first.runs.values())),
                        Text(second.label, runs=tuple(second.runs.values())),
                        Text(str(contest), contest.sure),
                        _p(contest.p),
                        "" if contest.effect is None else f"{contest.effect:+.2f}",
                        won(certainty, first, second),
                        won(certainty, second, first),
                        str(contest.seeds),
                    ]
                )
    if not rows:
        return None
    head = ["budget", "first", "second", "first over second", "p", "effect", "tasks won", "tasks lost", "seeds"]
    return Table(name, f"How sure: every pair of methods, {comparison.config['suite']}", head, rows, NOTES)


def won(certainty: Certainty, first: Entry, second: Entry) -> str:
    """On how many tasks the first scored higher, and on how many surely."""
    contests = [certainty.contest(first.label, second.label, task) for task in first.tasks]
    higher = [contest for contest in contests if contest and contest.difference > 0]
    return f"{len(higher)} ({sum(contest.sure for contest in higher)})"


def sentences(comparison: Comparison, budget: int, certainty: Certainty) -> list[str]:
    """What a budget's contests support: who leads, how surely, and how MTL-LoRA fares."""
    lines = [_leader(comparison, budget, certainty)] if len(certainty.matched) > 1 else []
    for own in certainty.matched:
        if own.name == MTLLoRA.name:
            others = [entry for entry in certainty.entries if entry.label == PLAIN or entry.reference]
            for other in others:
                contest = certainty.contest(own.label, other.label)
                if contest:
                    lines.append(
                        f"{own.label} over {other.label}: {contest} points, corrected p {_p(contest.p)}: {_told(contest)}."
                    )
    return lines


def _leader(comparison: Comparison, budget: int, certainty: Certainty) -> str:
    """Who has the highest mean over the seeds that all matched methods have, and of whom it is ahead."""
    shared = set.intersection(*({*entry.seeds} for entry in certainty.matched))
    seeds = sorted(shared) if shared else []
    if not seeds:
        return f"At {size(comparison, budget)} no seed is common to all methods, so none is said to lead."
    means = {entry.label: sum(entry.by_seed[seed] for seed in seeds) / len(seeds) for entry in certainty.matched}
    leader, *others = sorted(means, key=means.__getitem__, reverse=True)
    contests = {other: certainty.contest(leader, other) for other in others}
    if any(contest.difference < 0 for contest in contests.values()):  # on seeds that those two have and others have not
        return f"At {size(comparison, budget)} methods have different seeds, and these do not agree on who leads."
    told: dict[str, list[str]] = {}
    for other, contest in contests.items():
        told.setdefault(_told(contest), []).append(other)
    parts = [
        f"{_before(verdict)} {'to' if verdict == UNSHOWN else 'of'} {listed(labels)}" for verdict, labels in told.items()
    ]
    where = f"At {size(comparison, budget)}, {seeds_of(len(seeds))}"
    return f"{where}: {leader} has the highest mean, {means[leader]:.1f}: {'; '.join(parts)}."


def across_conflicts(budget: int, certainties: dict[float, Certainty]) -> str:
    """How MTL-LoRA fares against plain LoRA at each conflict; empty where that was not measured."""
    places: dict[str, list[str]] = {}
    for conflict, certainty in certainties.items():
        contest = certainty.contest(MTLLoRA.name, PLAIN)
        if contest:
            places.setdefault(_told(contest), []).append(f"{conflict:g} ({contest})")
    parts = [f"{_before(verdict)} at conflict {listed(own)}" for verdict, own in places.items()]
    return f"At {budget:,} parameters MTL-LoRA against plain LoRA: {'; '.join(parts)}." if parts else ""


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _told(contest: Contest) -> str:
    return contest.verdict.replace("but not surely", "with one seed") if contest.seeds == 1 else contest.verdict


def _before(verdict: str) -> str:
    return verdict + "," * ("," in verdict)


def _p(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"

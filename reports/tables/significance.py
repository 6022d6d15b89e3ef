"""What the data supports and what not: differences between methods as a table, and in plain sentences."""

from __future__ import annotations

from itertools import combinations

from benchmarks.experiment.methods import OURS
from reports.evidence.comparison import PLAIN, Comparison, Entry, size
from reports.evidence.differences import BETTER, EQUIVALENT, LEVEL, POWER, WORSE, Difference
from reports.evidence.significance import RESAMPLES, PairedTests
from reports.tables.footnotes import INTERVAL, points, seeds_of
from reports.tables.table import Table, Text

HEAD = ("budget", "first", "second", "first over second", "verdict", "p", "p of equivalence", "effect", "improvement")
HEAD += ("tasks won", "tasks lost", "seeds", "would probably decide it")
NOTES = (
    f"First over second on the suite's mean, in points of percent, over the seeds that both have. 95% interval: {INTERVAL}.",
    "p: two-sided, corrected by Holm's method among the methods against plain LoRA, apart from these among the other pairs "
    "matched at a budget, and among the pairs with a reference; intervals are not corrected. Bold: significant, "
    f"p < {LEVEL} and an interval without 0; never with one seed.",
    "Equivalent: the interval lies inside the margin, and p of equivalence, the larger one of two one-sided tests corrected "
    f"in the same way, is below {LEVEL}. Undecided: neither; the last column says how many seeds, and where these cannot do "
    f"it how many times the rows, decide with probability {POWER} if the difference and its variances are as measured.",
    f"Bootstrap: {RESAMPLES:,} resamples of the scored rows, paired. Tasks that are ranked by query are not paired: records "
    "do not name queries.",
    "Effect: mean by standard deviation of the differences over tasks and seeds (Cohen's d_z). Improvement: the probability "
    "that a run of the first scores higher than one of the second, mean over tasks. Tasks won, lost: on how many the first "
    "scored higher or lower, in parentheses on how many significantly, by Holm's method among that task's pairs.",
)


def pairs_table(comparison: Comparison, tests: dict[int, PairedTests], name: str) -> Table | None:
    """A row a pair of methods and budget; None where there is no pair."""
    rows = []
    for budget, paired in tests.items():
        for first, second in combinations(paired.entries, 2):
            found = paired.difference(first.label, second.label)
            if found:
                rows.append(
                    [
                        f"{budget:,}",
                        Text(first.label, runs=tuple(first.runs.values())),
                        Text(second.label, runs=tuple(second.runs.values())),
                        Text(str(found), found.significant),
                        found.verdict,
                        _p(found.p),
                        _p(found.p_equivalence),
                        "" if found.effect is None else f"{found.effect:+.2f}",
                        f"{found.improvement:.2f}",
                        won(paired, first, second),
                        won(paired, second, first),
                        str(found.seeds),
                        str(found.plan or ""),
                    ]
                )
    if not rows:
        return None
    notes = [*NOTES, f"Margin: {points(next(iter(tests.values())).margin)}."]
    return Table(name, f"Every pair of methods: {comparison.config.suite}", HEAD, rows, notes)


def won(paired: PairedTests, first: Entry, second: Entry) -> str:
    """On how many tasks the first scored higher, and on how many significantly."""
    by_task = [paired.difference(first.label, second.label, task) for task in first.tasks]
    higher = [found for found in by_task if found and found.value > 0]
    return f"{len(higher)} ({sum(found.significant for found in higher)})"


def sentences(comparison: Comparison, budget: int, paired: PairedTests) -> list[str]:
    """What a budget's differences support: who leads, against whom that is shown, and how MTL-LoRA fares."""
    lines = [_leader(comparison, budget, paired)] if len(paired.matched) > 1 else []
    for own in paired.matched:
        if own.name == OURS:
            others = [entry.label for entry in paired.entries if entry.label == PLAIN or entry.reference]
            found = {other: paired.difference(own.label, other) for other in others}
            lines += [f"{own.label} against {other}: {_judged(each)}." for other, each in found.items() if each]
    return lines


def _leader(comparison: Comparison, budget: int, paired: PairedTests) -> str:
    """Who has the highest mean over the seeds that all matched methods have, and of whom it is ahead."""
    shared = set.intersection(*({*entry.seeds} for entry in paired.matched))
    seeds = sorted(shared) if shared else []
    if not seeds:
        return f"At {size(comparison, budget)} no seed is common to all methods, so none is said to lead."
    means = {entry.label: sum(entry.by_seed[seed] for seed in seeds) / len(seeds) for entry in paired.matched}
    leader, *others = sorted(means, key=means.__getitem__, reverse=True)
    over = {other: paired.difference(leader, other) for other in others}
    if any(found.value < 0 for found in over.values()):  # on seeds that those two have and others have not
        return f"At {size(comparison, budget)} methods have different seeds, and these do not agree on who leads."
    told: dict[str, list[str]] = {}
    for other, found in over.items():
        told.setdefault(" ".join(words(found)), []).append(other)
    parts = [f"{verdict} {listed(labels)}" for verdict, labels in told.items()]
    where = f"At {size(comparison, budget)}, {seeds_of(len(seeds))}"
    return f"{where}: {leader} has the highest mean, {means[leader]:.1f}: {'; '.join(parts)}."


def across_conflicts(budget: int, tests: dict[float, PairedTests]) -> str:
    """How MTL-LoRA fares against plain LoRA at each conflict; empty where that was not measured."""
    places: dict[str, list[str]] = {}
    for conflict, paired in tests.items():
        found = paired.difference(OURS, PLAIN)
        if found:
            places.setdefault(words(found)[0], []).append(f"{conflict:g} ({found})")
    parts = [f"{verdict} at conflict {listed(own)}" for verdict, own in places.items()]
    return f"At {budget:,} parameters MTL-LoRA against plain LoRA: {'; '.join(parts)}." if parts else ""


def words(found: Difference) -> tuple[str, str]:
    """The verdict in words, and the preposition before whom it is against."""
    if found.verdict in (BETTER, WORSE):
        return found.verdict, "than"
    if found.verdict == EQUIVALENT:
        return f"equivalent within {points(found.margin)}", "to"
    if not found.shown:
        return "no difference shown", "to"
    side, preposition = ("ahead", "of") if found.value > 0 else ("behind", "compared to")
    return f"{side}, {'with one seed' if found.seeds == 1 else 'but not significantly'},", preposition


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _judged(found: Difference) -> str:
    more = f"; {found.plan} would probably decide it" if found.plan else ""
    return f"{found} points, corrected p {_p(found.p)}: {words(found)[0].strip(',')}{more}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"

"""What the data supports and what not: differences between methods as a table, and in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from benchmarks.experiment.methods import OURS
from benchmarks.words import plural
from reports.evidence.comparison import PLAIN, Comparison, size
from reports.evidence.differences import BETTER, EQUIVALENT, VERDICTS, WORSE, Difference
from reports.evidence.entries import Entry
from reports.evidence.significance import PairedTests
from reports.tables.table import Cell, Table, Text

HEAD = (
    *("budget", "first", "second", "first over second", "verdict", "p", "p of equivalence", "effect", "improvement"),
    *("tasks won", "tasks lost", "seeds", "would probably decide it"),
)


def pairs_table(comparison: Comparison, tests: dict[int, PairedTests], name: str) -> Table | None:
    """A row a pair of methods and budget; None where there is no pair."""
    rows: list[list[Cell]] = []
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
                        p_value(found.p),
                        p_value(found.p_equivalence),
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
    margin = plural(next(iter(tests.values())).margin, "point")
    notes = [f"On the suite's mean, over the seeds that both have. Margin: {margin}."]
    if any(paired.unpaired for paired in tests.values()):
        notes.append("Tasks that are ranked by query are not paired where predictions do not name queries.")
    return Table(name, f"Every pair of methods: {comparison.subject}", HEAD, rows, notes, paper=False)


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
            found = paired.difference(own.label, PLAIN)
            lines += [f"{own.label} against {PLAIN}: {_judged(found)}."] if found else []
    return lines


def _leader(comparison: Comparison, budget: int, paired: PairedTests) -> str:
    """Who has the highest mean over the seeds that all matched methods have, and of whom it is ahead."""
    shared = set.intersection(*({*entry.seeds} for entry in paired.matched))
    seeds = sorted(shared) if shared else []
    if not seeds:
        return f"At {size(comparison, budget)} no seed is common to all methods, so none is said to lead."
    means = {entry.label: sum(entry.by_seed[seed] for seed in seeds) / len(seeds) for entry in paired.matched}
    leader, *others = sorted(means, key=means.__getitem__, reverse=True)
    over = {other: found for other in others if (found := paired.difference(leader, other))}
    if any(found.value < 0 for found in over.values()):  # on seeds that those two have and others have not
        return f"At {size(comparison, budget)} methods have different seeds, and these do not agree on who leads."
    told: dict[str, list[str]] = {}
    for other, found in over.items():
        told.setdefault(" ".join(words(found)), []).append(other)
    parts = [f"{verdict} {listed(labels)}" for verdict, labels in told.items()]
    where = f"At {size(comparison, budget)}, {plural(len(seeds), 'seed')}"
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
        return f"equivalent within {plural(found.margin, 'point')}", "to"
    if not found.shown:
        return "no difference shown", "to"
    side, preposition = ("ahead", "of") if found.value > 0 else ("behind", "compared to")
    return f"{side}, {'with one seed' if found.seeds == 1 else 'but not significantly'},", preposition


def together(method: str, differences: Sequence[Difference]) -> str:
    """What a method's differences to plain LoRA say together."""
    counts, total = Counter(d.verdict for d in differences), len(differences)
    if counts[BETTER] and counts[WORSE]:
        return f"{method} is better than plain LoRA in {counts[BETTER]} and worse in {counts[WORSE]} of {total} comparisons"
    for kind in (BETTER, WORSE):
        if counts[kind]:
            return f"{method} is {kind} than plain LoRA" + (
                f" in {counts[kind]} of {total} comparisons" if counts[kind] < total else ""
            )
    if counts[EQUIVALENT] > total / 2:
        return f"{method} is equivalent to plain LoRA within {plural(differences[0].margin, 'point')}"
    return f"no difference between {method} and plain LoRA is shown"


def counted(differences: Sequence[Difference], spread: bool = True) -> str:
    """better in 5 and undecided in 1 of 6 comparisons, by +7.3 to +40.9 points"""
    counts = Counter(d.verdict for d in differences)
    told = listed([f"{kind} in {counts[kind]}" for kind in VERDICTS if counts[kind]])
    values = [d.value for d in differences]
    ends = " to ".join(dict.fromkeys(f"{value:+.1f}" for value in (min(values), max(values))))
    return f"{told} of {len(differences)}" + (f", by {ends} points" if spread else "")


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _judged(found: Difference) -> str:
    more = f"; {found.plan} would probably decide it" if found.plan else ""
    return f"{found} points, corrected p {p_value(found.p)}: {words(found)[0].strip(',')}{more}"


def p_value(value: float) -> str:
    """With as many digits as matter: 0.21, 0.021, 4e-05."""
    return f"{value:.1g}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"

"""What the data supports and what not: contests between methods as a table, and in plain sentences."""

from __future__ import annotations

from itertools import combinations

from mtl_lora import MTLLoRA
from reports.certainty import LEVEL, MEAN, RESAMPLES, Certainty, Contest
from reports.comparison import Comparison, Entry
from reports.table import Table, Text

NOTES = (
    f"First over second on the suite's mean, in points of percent. Intervals and p by {RESAMPLES:,} resamples of scored "
    "rows and of seeds, paired; p corrected by Holm's method among the pairs of methods matched at a budget, and apart "
    "from these among the pairs with a reference. Over seeds: half of the 95% interval by Student's t over seeds alone.",
    "Bold, and called sure: p < 0.05, and 0 outside the interval over seeds too, since few seeds tell little about "
    "seeds; never with one seed.",
    "Effect: mean by standard deviation of the differences over tasks and seeds (Cohen's d_z). Tasks won, lost: on how many "
    "the first scored higher or lower, in parentheses on how many surely, by Holm's method among that task's pairs.",
)


def contests_table(comparison: Comparison, certainties: dict[int, Certainty], name: str) -> Table:
    """A row a pair of methods and budget."""
    rows = []
    for budget, certainty in certainties.items():
        for first, second in combinations(certainty.entries, 2):
            contest = certainty.contest(first.label, second.label)
            if contest:
                runs = (*first.runs.values(), *second.runs.values())
                rows.append(
                    [
                        f"{budget:,}",
                        first.label,
                        second.label,
                        Text(f"{contest.difference:+.1f}", contest.sure, runs),
                        f"{contest.low:+.1f} to {contest.high:+.1f}",
                        _p(contest.p),
                        "" if contest.over_seeds is None else f"± {contest.over_seeds:.1f}",
                        "" if contest.effect is None else f"{contest.effect:+.2f}",
                        won(certainty, first, second),
                        won(certainty, second, first),
                    ]
                )
    head = [
        "budget",
        "first",
        "second",
        "first over second",
        "95% interval",
        "p",
        "over seeds",
        "effect",
        "tasks won",
        "tasks lost",
    ]
    return Table(name, f"How sure: every pair of methods, {comparison.config['suite']}", head, rows, NOTES)


def won(certainty: Certainty, first: Entry, second: Entry) -> str:
    """On how many tasks the first scored higher, and on how many surely."""
    contests = [certainty.contest(first.label, second.label, task) for task in first.tasks]
    higher = [contest for contest in contests if contest and contest.difference > 0]
    return f"{len(higher)} ({sum(contest.sure for contest in higher)})"


def sentences(comparison: Comparison, budget: int, certainty: Certainty) -> list[str]:
    """What a budget's contests support: who leads, what cannot be told apart, and how MTL-LoRA fares."""
    matched = [entry for entry in certainty.entries if not entry.reference]
    ranked = sorted(matched, key=lambda entry: entry.score.mean, reverse=True)
    if len(ranked) < 2:
        return []
    leader, others = ranked[0], ranked[1:]
    contests = [(other, certainty.contest(leader.label, other.label)) for other in others]
    behind = [other.label for other, contest in contests if contest and contest.sure]
    level = [other.label for other, contest in contests if not contest or not contest.sure]
    seeds = sorted({len(entry.seeds) for entry in matched})
    size = "the released settings" if comparison.config["protocol"] == "paper" else f"{budget:,} parameters"
    where = f"At {size} ({' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])})"
    parts = [f"{where} {leader.label} has the highest mean, {leader.score.mean:.1f}"]
    if behind:
        parts.append(f"surely ahead of {listed(behind)}")
    if level:
        parts.append(f"not to be told apart from {listed(level)}{' with one seed' * (seeds == [1])}")
    lines = ["; ".join(parts) + "."]
    own = next((entry for entry in matched if entry.label == MTLLoRA.name), None)
    plain = next((entry for entry in matched if entry.label == "lora"), None)
    if own and plain and (contest := certainty.contest(own.label, plain.label)):
        lines.append(f"MTL-LoRA over plain LoRA: {_contest(contest)}, {_supported(contest)}.")
    lines += [
        f"MTL-LoRA over {entry.label} (reference): {_contest(contest)}, {_supported(contest)}."
        for entry in certainty.entries
        if own and entry.reference and (contest := certainty.contest(own.label, entry.label, MEAN))
    ]
    return lines


def across_conflicts(budget: int, certainties: dict[float, Certainty]) -> str:
    """Where MTL-LoRA is ahead of plain LoRA, where behind, where neither is sure; empty where it was not measured."""
    places: dict[str, list[str]] = {"surely ahead": [], "surely behind": [], "not to be told apart": []}
    for conflict, certainty in certainties.items():
        contest = certainty.contest(MTLLoRA.name, "lora")
        if contest:
            side = "ahead" if contest.difference > 0 else "behind"
            places[f"surely {side}" if contest.sure else "not to be told apart"].append(f"{conflict:g}")
    parts = [f"{verdict} at conflict {listed(own)}" for verdict, own in places.items() if own]
    return f"At {budget:,} parameters MTL-LoRA against plain LoRA: {'; '.join(parts)}." if parts else ""


def listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _contest(contest: Contest) -> str:
    return f"{contest.difference:+.1f} points ({contest.low:+.1f} to {contest.high:+.1f}, p {_p(contest.p)})"


def _supported(contest: Contest) -> str:
    if contest.sure:
        return "so it is ahead here" if contest.difference > 0 else "so it is behind here"
    if contest.over_seeds is None:
        return "not sure with one seed"
    if contest.p < LEVEL:
        return f"not sure: over seeds alone the interval is ± {contest.over_seeds:.1f}"
    return "which the data cannot tell from nothing"


def _p(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"

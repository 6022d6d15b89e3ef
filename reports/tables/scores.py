"""Tables of scores: methods x tasks, score against conflict, the control of pictures, and all scores in long form."""

from __future__ import annotations

from benchmarks.words import plural
from reports.evidence.comparison import PLAIN, Comparison, size
from reports.evidence.differences import Difference
from reports.evidence.entries import Cell, Entry
from reports.evidence.significance import MEAN, PairedTests
from reports.tables.footnotes import lead, notes, setting
from reports.tables.glossary import MAJORITY
from reports.tables.table import Table, Text


def title(comparison: Comparison, budget: int, conflict: bool = True) -> str:
    """One line that says what is compared."""
    name = f"{comparison.subject} at {size(comparison, budget)}"
    return name + (f", conflict {comparison.conflict:g}" if conflict and comparison.conflict is not None else "")


CONTROL = (
    "Does it use the pictures? The same method with its own pictures, with those of other samples of the task in training "
    "and scoring (shuffled: what can be had from the words alone), and trained with its own but scored with others "
    "(shuffled when scored). Corrected by Holm's method among the kinds of pictures."
)


def score_table(comparison: Comparison, budget: int, paired: PairedTests, name: str) -> Table:
    """A row per task (or group of tasks), a column per method, then the suite's score and what the methods cost."""
    entries, majority = comparison.at(budget), comparison.majority
    head = ["tasks" if comparison.groups else "task", "majority", *(entry.label for entry in entries)]
    table: list[list[Text | str]] = []
    if comparison.groups:
        table = [
            [group, f"{sum(majority[t] for t in tasks) / len(tasks):.1f}", *(_score(e.groups[group], e) for e in entries)]
            for group, tasks in comparison.groups.items()
        ]
    else:
        for task in majority:
            best = paired.best(task)
            cells = [_score(e.tasks[task], e, e.label == best, _at(majority[task], e, task)) for e in entries]
            table.append([task, f"{majority[task]:.1f}", *cells])
    best = paired.best()
    table.append([MEAN, f"{mean_majority(comparison):.1f}", *(_score(e.score, e, e.label == best) for e in entries)])
    if any(entry.label == PLAIN for entry in entries) and len(entries) > 1:
        table.append([f"over {PLAIN}", "", *(_over_plain(paired, entry) for entry in entries)])
        verdicts = [paired.difference(entry.label, PLAIN) for entry in entries]
        table.append(["verdict", "", *(found.verdict if found else "" for found in verdicts)])
    table.append(["rank", "", *(str(e.rank) if e.budget else "" for e in entries)])
    table.append(["parameters", "0", *(f"{e.parameters:,}" for e in entries)])
    table.append(["of the base", "0%", *(f"{e.parameters / e.base:.2%}" for e in entries)])
    table.append(["off budget", "", *("" if e.reference else f"{e.mismatch:+.1%}" for e in entries)])
    if entries[0].unanswered is not None:
        table.append(["unanswered, %", "", *(f"{e.unanswered:.1f}" for e in entries)])
    table.append(["seeds", "", *(str(len(e.seeds)) for e in entries)])
    return Table(name, title(comparison, budget), head, table, notes(comparison, entries), lead(comparison, budget))


def conflict_table(family: list[Comparison], budget: int, tests: list[PairedTests], name: str) -> Table:
    """A row per method, a column per conflict: the suite's score, and in parentheses the advantage over plain LoRA."""
    columns = [{entry.label: scored_over_plain(paired, entry) for entry in paired.entries} for paired in tests]
    labels = dict.fromkeys(label for column in columns for label in column)
    table = [[label, *(column.get(label, "") for column in columns)] for label in labels]
    return Table(
        name,
        f"Score against conflict, {title(family[0], budget, conflict=False)}",
        ["method", *(f"conflict {comparison.conflict:g}" for comparison in family)],
        table,
        ["In parentheses the advantage over plain LoRA in points, with its 95% interval; bold where significant."],
    )


def control_table(comparison: Comparison, paired: PairedTests, label: str, name: str) -> Table:
    """A row per task, a column for each kind of pictures that one method saw, and what its own ones are worth.

    comparison: the method's entries by the kind of pictures, its own first.
    """
    own, *others = comparison.entries
    table: list[list[Text | str]] = []
    for task, majority in (comparison.majority | {MEAN: mean_majority(comparison)}).items():
        scores = [_score(entry.score if task == MEAN else entry.tasks[task], entry) for entry in comparison.entries]
        worth = [difference(paired.difference(own.label, other.label, task), own, other) for other in others]
        table.append([task, f"{majority:.1f}", *scores, *worth])
    table.append(["seeds", "", *(str(len(entry.seeds)) for entry in comparison.entries), *("" for _ in others)])
    head = ["task", "majority", *(e.label for e in comparison.entries), *(f"own over {other.label}" for other in others)]
    about = title(comparison, paired.budget)
    return Table(name, f"Own pictures against others, {label}: {about}", head, table, [CONTROL])


def controlled(family: list[Comparison], budget: int) -> dict[str, list[Comparison]]:
    """By method at a budget: the comparisons of a family that have it, where its own pictures and others are among them."""
    labels = [entry.label for entry in family[0].at(budget)]
    having = {label: [c for c in family if label in {entry.label for entry in c.at(budget)}] for label in labels}
    return {label: comparisons for label, comparisons in having.items() if len(comparisons) > 1}


def long_table(comparisons: list[Comparison]) -> Table:
    """All scores in long form: a row for each comparison, budget, method and task, the mean of the suite included."""
    columns = ["comparison", "suite", "conflict", "backbone", "protocol", "split", "pictures", "setting"]
    columns += ["budget", "method", "rank", "parameters", "task", "metrics"]
    columns += [MEAN, "spread_over_seeds", "standard_error_over_rows", "seeds", "majority"]
    table: list[list[Text | str]] = []
    for number, comparison in enumerate(comparisons, 1):
        config = comparison.config
        conflict = "" if comparison.conflict is None else comparison.conflict
        common = [number, config.suite, conflict, config.backbone.id, config.protocol, config.split]
        common += [comparison.pictures or "", setting(comparison)]
        majority = comparison.majority | {MEAN: mean_majority(comparison)}
        for entry in comparison.entries:
            for task, cell in (entry.tasks | {MEAN: entry.score}).items():
                own = [entry.budget, entry.label, entry.rank if entry.budget else "", entry.parameters, task]
                own.append(" ".join(f"{metric}={value:.4f}" for metric, value in entry.metrics.get(task, {}).items()))
                spread = "" if cell.spread is None else f"{cell.spread:.4f}"
                numbers = [f"{cell.mean:.4f}", spread, f"{cell.error:.4f}", cell.seeds, f"{majority[task]:.4f}"]
                table.append([str(value) for value in (*common, *own, *numbers)])
    return Table("scores", "All scores", columns, table, paper=False)


def difference(found: Difference | None, first: Entry, second: Entry) -> Text:
    """What the first has over the second; with the number of their seeds where one has more, whose mean it does not fit."""
    if found is None:
        return Text("")
    fewer = found.seeds < max(len(first.seeds), len(second.seeds))
    text = f"{found}, {plural(found.seeds, 'seed')}" if fewer else str(found)
    return Text(text, found.significant, tuple(first.runs.values()))


def scored_over_plain(paired: PairedTests, entry: Entry) -> Text:
    """The suite's score of a method, and in parentheses its advantage over plain LoRA; bold where that is significant."""
    over = _over_plain(paired, entry)
    text = f"{entry.score.mean:.1f}" + (f" ({over})" if over.text else "")
    return Text(text, over.bold, tuple(entry.runs.values()))


def mean_majority(comparison: Comparison) -> float:
    """The suite's score of the majority baseline."""
    return sum(comparison.majority.values()) / len(comparison.majority)


def _score(cell: Cell, entry: Entry, bold: bool = False, mark: str = "") -> Text:
    return Text(f"{cell}{mark}", bold, tuple(entry.runs.values()))


def _at(majority: float, entry: Entry, task: str) -> str:
    """The mark of scores that are just the majority baseline's, with in how many seeds where not in all."""
    scores = entry.tasks_by_seed[task].values()
    count = sum(abs(score - majority) < 1e-6 for score in scores)
    return "" if not count else MAJORITY if count == len(scores) else f"{MAJORITY}{count}/{len(scores)}"


def _over_plain(paired: PairedTests, entry: Entry) -> Text:
    plain = next((e for e in paired.entries if e.label == PLAIN), entry)
    return difference(paired.difference(entry.label, PLAIN), entry, plain)

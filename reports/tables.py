"""A comparison as a table: for the terminal, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
from pathlib import Path

from tabulate import tabulate

from benchmarks.answering import WAYS
from benchmarks.suite import find_suite
from reports.comparison import Comparison, Entry, advantage


def title(comparison: Comparison, budget: int, conflict: bool = True) -> str:
    """One line that says what is compared."""
    config = comparison.config
    base = comparison.entries[0].base
    return (
        f"{config['suite']} on {config['backbone']['id']}: {budget:,} adapter parameters "
        f"({100 * budget / base:.2f}% of the base), protocol {config['protocol']}"
        + (f", answered by {config['answering']['way']}" if "answering" in config else "")
        + (f", conflict {comparison.conflict:g}" if conflict and comparison.conflict is not None else "")
    )


INTERVAL = "95% interval (Student's t over seeds; over the scored rows where there is one seed)"
CONTROL = (
    "Does it use the pictures? The same method with its own pictures, with those of other samples of the task in training "
    "and scoring (shuffled: what can be had from the words alone), and trained with its own but scored with others "
    f"(shuffled when scored). In percent; differences seed by seed with their {INTERVAL}."
)


def notes(comparison: Comparison, entries: list[Entry]) -> list[str]:
    """What a reader must know to read the table right."""
    config, recipe = comparison.config, comparison.config["recipe"]
    several, single = any(len(e.seeds) > 1 for e in entries), any(len(e.seeds) == 1 for e in entries)
    forms = ["mean ± standard deviation over seeds"] * several
    forms += ["score of one seed (standard error over the scored rows: no spread over seeds is known)"] * single
    suite = find_suite(config["suite"])
    lines = [
        f"Cells, in percent: {'; or '.join(forms)}. Majority answers with the commonest class or the mean grade.",
        f"Over lora: advantage over plain LoRA in points, seed by seed, with its {INTERVAL}.",
        f"Scores: {_metrics(comparison)}, averaged where a task has two; mean is that of the tasks.",
        *suite.notes,
        *_answering(config),
        f"One recipe for all: {recipe['epochs']} epochs, batch {recipe['batch_size']}, "
        f"learning rate {recipe['learning_rate']:g}, alpha / rank {recipe['scaling']:g}, {recipe['sampling']} sampling, "
        f"{config['precision']}; adapted: {', '.join(config['backbone']['targets'])}. "
        + (f"Heads ({entries[0].heads:,} parameters) are trained too and not counted." if entries[0].heads else ""),
        *_released(entries),
        f"Training rows / scored rows: {_sizes(comparison)}.",
    ]
    if comparison.groups:
        lines.append("Rows are means over tasks: " + _listed(comparison.groups) + ". The CSV file has every task.")
    if any(e.reference for e in entries):
        lines.append(
            "References stand outside the budget: heads-only trains no adapter, lora-per-task has a LoRA of the budget for "
            "each task, full trains every weight of the base."
        )
    limits = [
        f"{n} rows a task for {what}"
        for what, n in (("training", config["max_train"]), ("scoring", config["max_eval"]))
        if n
    ]
    if limits:
        lines.append(f"Limited to at most {' and '.join(limits)}.")
    if config["split"] == "dev":
        lines.append("Scored on rows set apart from training (dev), for choosing recipes: not a result to report.")
    return lines + comparison.caveats


def _answering(config: dict) -> list[str]:
    if "answering" not in config:
        return []
    settings = ", ".join(f"{name} {value}" for name, value in config["answering"].items() if name != "way")
    way = WAYS[config["answering"]["way"]]
    return [f"Answered by {way.name}: {way.summary}{f' ({settings})' if settings else ''}."]


def _released(entries: list[Entry]) -> list[str]:
    """Where methods differ in more than the method."""
    if not entries[0].released:
        return []
    own = [f"{e.label} {', '.join(f'{k} {v}' for k, v in e.released.items())}" for e in entries]
    return [
        "Protocol paper: every method at the released rank, whatever its parameters (off budget: against plain LoRA's), "
        f"and with the settings of its own script instead of those above: {'; '.join(own)}."
    ]


def rows(comparison: Comparison, budget: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row a task (or group of tasks), a column a method, then the suite's score and the parameters."""
    entries = comparison.at(budget)
    header = ["tasks" if comparison.groups else "task", "majority", *(entry.label for entry in entries)]
    majority = comparison.majority
    if comparison.groups:
        table = [
            [group, f"{sum(majority[t] for t in tasks) / len(tasks):.1f}", *(str(e.groups[group]) for e in entries)]
            for group, tasks in comparison.groups.items()
        ]
    else:
        table = [[task, f"{majority[task]:.1f}", *(str(e.tasks[task]) for e in entries)] for task in majority]
    table.append(["mean", f"{sum(majority.values()) / len(majority):.1f}", *(str(e.score) for e in entries)])
    plain = next((e for e in entries if e.label == "lora"), None)
    if plain and len(entries) > 1:
        table.append(["over lora", "", *(_over(entry, plain) for entry in entries)])
    table.append(["rank", "", *(str(e.rank) if e.budget else "" for e in entries)])
    table.append(["parameters", "0", *(f"{e.parameters:,}" for e in entries)])
    table.append(["off budget", "", *("" if e.reference else f"{e.mismatch:+.1%}" for e in entries)])
    if entries[0].unanswered is not None:
        table.append(["unanswered, %", "", *(f"{e.unanswered:.1f}" for e in entries)])
    table.append(["seeds", "", *(str(len(e.seeds)) for e in entries)])
    return header, table


def _over(entry: Entry, plain: Entry) -> str:
    """The advantage over plain LoRA in points, with its 95% interval."""
    return "" if entry is plain else _difference(entry, plain)


def _difference(entry: Entry, over: Entry, task: str | None = None) -> str:
    """The advantage of one entry over another in points, with its 95% interval."""
    difference = advantage(entry, over, task)
    return f"{difference.mean:+.1f} ± {difference.interval:.1f}"


def render(comparison: Comparison, budget: int, style: str) -> str:
    """The table in one of tabulate's styles ("simple", "github", "latex_booktabs"), without title and notes."""
    header, table = rows(comparison, budget)
    align = ["left"] + ["right"] * (len(header) - 1)
    return tabulate(table, headers=header, tablefmt=style, disable_numparse=True, colalign=align)


def render_conflict(family: list[Comparison], budget: int, style: str) -> str:
    """A row a method, a column a conflict: the suite's score, and in parentheses the advantage over plain LoRA."""
    header = ["method", *(f"conflict {comparison.conflict:g}" for comparison in family)]
    columns = [{entry.label: entry for entry in comparison.at(budget)} for comparison in family]
    table = []
    for label in dict.fromkeys(label for column in columns for label in column):
        cells = [_against_lora(column, label) if label in column else "" for column in columns]
        table.append([label, *cells])
    return tabulate(table, headers=header, tablefmt=style, disable_numparse=True)


def render_control(family: list[Comparison], label: str, budget: int, style: str) -> str:
    """A row a task, a column for each kind of pictures that one method saw, and what its own ones are worth."""
    entries = [next(e for e in comparison.at(budget) if e.label == label) for comparison in family]
    own, others = entries[0], entries[1:]
    kinds = [str(comparison.pictures).replace("-", " ") for comparison in family]
    header = ["task", "majority", *kinds, *(f"own over {kind}" for kind in kinds[1:])]
    table = []
    for task in own.tasks:
        scores = [str(entry.tasks[task]) for entry in entries]
        worth = [_difference(own, other, task) for other in others]
        table.append([task, f"{family[0].majority[task]:.1f}", *scores, *worth])
    return tabulate(table, headers=header, tablefmt=style, disable_numparse=True)


def controlled(family: list[Comparison], budget: int) -> dict[str, list[Comparison]]:
    """By method at a budget: the comparisons of a family that have it, where its own pictures and others are among them."""
    labels = [entry.label for entry in family[0].at(budget)]
    having = {label: [c for c in family if label in {entry.label for entry in c.at(budget)}] for label in labels}
    return {label: comparisons for label, comparisons in having.items() if len(comparisons) > 1}


def _against_lora(column: dict[str, Entry], label: str) -> str:
    text = f"{column[label].score.mean:.1f}"
    if label == "lora" or "lora" not in column:
        return text
    return f"{text} ({_over(column[label], column['lora'])})"


def _metrics(comparison: Comparison) -> str:
    tasks = find_suite(comparison.config["suite"]).select(comparison.config["tasks"])
    if len({task.metrics for task in tasks}) == 1:
        return " and ".join(tasks[0].metrics)
    if not comparison.groups:
        return ", ".join(f"{task.name} {' and '.join(task.metrics)}" for task in tasks)
    metrics: dict[str, list[str]] = {}
    for task in tasks:
        metrics.setdefault(" and ".join(task.metrics), []).append(task.name)
    common = max(metrics, key=lambda name: len(metrics[name]))
    others = [f"{name} for {', '.join(of)}" for name, of in metrics.items() if name != common]
    return ", ".join([*others, f"{common} for all others" if others else common])


def _sizes(comparison: Comparison) -> str:
    if len(set(comparison.rows.values())) == 1:
        return "{:,}/{:,} for each task".format(*next(iter(comparison.rows.values())))
    return ", ".join(f"{task} {train:,}/{test:,}" for task, (train, test) in comparison.rows.items())


def _listed(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{group}: {', '.join(tasks)}" for group, tasks in groups.items())


def write_csv(comparisons: list[Comparison], path: Path) -> None:
    """All scores in long form: a row for each comparison, budget, method and task, the mean of the suite included."""
    columns = ["comparison", "suite", "conflict", "backbone", "protocol", "split", "pictures"]
    columns += ["budget", "method", "rank", "parameters", "task", "metrics"]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, "mean", "spread_over_seeds", "standard_error_over_rows", "seeds", "majority"])
        for number, comparison in enumerate(comparisons, 1):
            config = comparison.config
            conflict = "" if comparison.conflict is None else comparison.conflict
            common = [number, config["suite"], conflict, config["backbone"]["id"], config["protocol"], config["split"]]
            common.append(comparison.pictures or "")
            majority = comparison.majority | {"mean": sum(comparison.majority.values()) / len(comparison.majority)}
            for entry in comparison.entries:
                for task, cell in (entry.tasks | {"mean": entry.score}).items():
                    own = [entry.budget, entry.label, entry.rank, entry.parameters, task]
                    own.append(" ".join(f"{name}={value:.4f}" for name, value in entry.metrics.get(task, {}).items()))
                    spread = "" if cell.spread is None else f"{cell.spread:.4f}"
                    numbers = [f"{cell.mean:.4f}", spread, f"{cell.error:.4f}", cell.seeds, f"{majority[task]:.4f}"]
                    writer.writerow([*common, *own, *numbers])

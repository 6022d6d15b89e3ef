"""A comparison as a table: for the terminal, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
from pathlib import Path

from tabulate import tabulate

from benchmarks.suite import find_suite
from reports.comparison import Comparison, Entry


def title(comparison: Comparison, budget: int) -> str:
    """One line that says what is compared."""
    config = comparison.config
    base = comparison.entries[0].base
    return (
        f"{config['suite']} on {config['backbone']['id']}: {budget:,} adapter parameters "
        f"({100 * budget / base:.2f}% of the base), protocol {config['protocol']}"
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
        "Scores: "
        + ", ".join(f"{t.name} {' and '.join(t.metrics)}" for t in suite.select(config["tasks"]))
        + ", averaged where a task has two; mean is that of the tasks.",
        *suite.notes,
        f"One recipe for all: {recipe['epochs']} epochs, batch {recipe['batch_size']}, "
        f"learning rate {recipe['learning_rate']:g}, alpha / rank {recipe['scaling']:g}, {recipe['sampling']} sampling, "
        f"{config['precision']}; adapted: {', '.join(config['backbone']['targets'])}. "
        f"Heads ({entries[0].heads:,} parameters) are trained too and not counted.",
        "Training rows / scored rows: " + ", ".join(f"{t} {a:,}/{b:,}" for t, (a, b) in comparison.rows.items()) + ".",
    ]
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


def rows(comparison: Comparison, budget: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row a task, a column a method, then the suite's score and the parameters."""
    entries = comparison.at(budget)
    header = ["task", "majority", *(entry.label for entry in entries)]
    majority = comparison.majority
    table = [[task, f"{majority[task]:.1f}", *(str(e.tasks[task]) for e in entries)] for task in comparison.config["tasks"]]
    table.append(["mean", f"{sum(majority.values()) / len(majority):.1f}", *(str(e.score) for e in entries)])
    table.append(["rank", "", *(str(e.rank) for e in entries)])
    table.append(["parameters", "0", *(f"{e.parameters:,}" for e in entries)])
    table.append(["off budget", "", *(f"{e.mismatch:+.1%}" for e in entries)])
    table.append(["seeds", "", *(str(len(e.seeds)) for e in entries)])
    return header, table


def render(comparison: Comparison, budget: int, style: str) -> str:
    """The table in one of tabulate's styles ("simple", "github", "latex_booktabs"), without title and notes."""
    header, table = rows(comparison, budget)
    align = ["left"] + ["right"] * (len(header) - 1)
    return tabulate(table, headers=header, tablefmt=style, disable_numparse=True, colalign=align)


def write_csv(comparisons: list[Comparison], path: Path) -> None:
    """All scores in long form: a row for each comparison, budget, method and task, the mean of the suite included."""
    columns = ["comparison", "suite", "backbone", "protocol", "split"]
    columns += ["budget", "method", "rank", "parameters", "task", "metrics"]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, "mean", "spread_over_seeds", "standard_error_over_rows", "seeds", "majority"])
        for number, comparison in enumerate(comparisons, 1):
            config = comparison.config
            common = [number, config["suite"], config["backbone"]["id"], config["protocol"], config["split"]]
            majority = comparison.majority | {"mean": sum(comparison.majority.values()) / len(comparison.majority)}
            for entry in comparison.entries:
                for task, cell in (entry.tasks | {"mean": entry.score}).items():
                    own = [entry.budget, entry.label, entry.rank, entry.parameters, task]
                    own.append(" ".join(f"{name}={value:.4f}" for name, value in entry.metrics.get(task, {}).items()))
                    spread = "" if cell.spread is None else f"{cell.spread:.4f}"
                    numbers = [f"{cell.mean:.4f}", spread, f"{cell.error:.4f}", cell.seeds, f"{majority[task]:.4f}"]
                    writer.writerow([*common, *own, *numbers])

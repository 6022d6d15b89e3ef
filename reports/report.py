"""Writes the report: everything that ``results/runs`` can tell, on screen and in files."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records import RunStore
from mtl_lora.errors import InvalidInput
from reports.comparison import compare
from reports.plots import parameters_against_score
from reports.tables import notes, render, title, write_csv


def write_report(results: Path, out: Path) -> None:
    """Print every comparison and write comparison.{md,csv,tex} and a plot for each into ``out``."""
    records = RunStore(results).all()
    if not records:
        raise InvalidInput(f"no run records in {results / 'runs'}: `mtl-lora run` makes them")
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(records)
    markdown, latex = ["# Comparison of methods"], []
    for number, comparison in enumerate(comparisons, 1):
        plot = f"parameters-{comparison.config['suite']}-{number}.png"
        parameters_against_score(comparison, out / plot)
        for budget in comparison.budgets:
            heading = title(comparison, budget)
            remarks = notes(comparison, comparison.at(budget))
            print("\n".join([heading, "", render(comparison, budget, "simple"), "", *remarks, ""]))
            markdown += [f"## {heading}", render(comparison, budget, "github"), "\n".join(f"- {line}" for line in remarks)]
            latex += [f"% {line}" for line in (heading, *remarks)] + [render(comparison, budget, "latex_booktabs"), ""]
        markdown.append(f"![parameters against score]({plot})")
    (out / "comparison.md").write_text("\n\n".join(markdown) + "\n")
    (out / "comparison.tex").write_text("\n".join(latex))
    write_csv(comparisons, out / "comparison.csv")
    print(f"written: {out}/comparison.md, .csv, .tex and {len(comparisons)} plot(s)")

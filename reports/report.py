"""Writes the report: everything that ``results/runs`` can tell, on screen and in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.records import RunStore
from mtl_lora.errors import InvalidInput
from reports.comparison import Comparison, by_conflict, compare
from reports.plots import conflict_against_score, parameters_against_score
from reports.tables import notes, render, render_conflict, title, write_csv


def write_report(results: Path, out: Path) -> None:
    """Print every comparison and write comparison.{md,csv,tex} and the plots into ``out``."""
    records = RunStore(results).all()
    if not records:
        raise InvalidInput(f"no run records in {results / 'runs'}: `mtl-lora run` makes them")
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(records)
    page = _Page()
    for number, family in enumerate(by_conflict(comparisons), 1):
        _conflicts(page, family, out / f"conflict-{family[0].config['suite']}-{number}.png")
    for number, comparison in enumerate(comparisons, 1):
        for budget in comparison.budgets:
            remarks = notes(comparison, comparison.at(budget))
            page.table(title(comparison, budget), lambda style, c=comparison, b=budget: render(c, b, style), remarks)
        plot = out / f"parameters-{comparison.config['suite']}-{number}.png"
        parameters_against_score(comparison, plot)
        page.plot("parameters against score", plot)
    page.write(out)
    write_csv(comparisons, out / "comparison.csv")
    print(f"written: {out}/comparison.md, .csv, .tex and {page.plots} plot(s)")


def _conflicts(page: _Page, family: list[Comparison], plot: Path) -> None:
    for budget in family[0].budgets:
        page.table(
            f"Score against conflict, {title(family[0], budget, conflict=False)}",
            lambda style, b=budget: render_conflict(family, b, style),
            [
                "Mean score of the suite in percent; in parentheses the advantage over plain LoRA in points, seed by seed, "
                "with its 95% interval (Student's t over seeds; over the scored rows where there is one seed)."
            ],
        )
    conflict_against_score(family, plot)
    page.plot("score against conflict", plot)


class _Page:
    """The same tables for the screen, for Markdown and for LaTeX."""

    def __init__(self) -> None:
        self.markdown, self.latex, self.plots = ["# Comparison of methods"], [], 0

    def table(self, heading: str, render_in: Callable[[str], str], remarks: list[str]) -> None:
        print("\n".join([heading, "", render_in("simple"), "", *remarks, ""]))
        self.markdown += [f"## {heading}", render_in("github"), "\n".join(f"- {line}" for line in remarks)]
        self.latex += [f"% {line}" for line in (heading, *remarks)] + [render_in("latex_booktabs"), ""]

    def plot(self, what: str, path: Path) -> None:
        self.markdown.append(f"![{what}]({path.name})")
        self.plots += 1

    def write(self, out: Path) -> None:
        (out / "comparison.md").write_text("\n\n".join(self.markdown) + "\n")
        (out / "comparison.tex").write_text("\n".join(self.latex))

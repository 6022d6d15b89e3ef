"""Writes the report: everything that ``results/runs`` can tell, on screen and in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.records import RunStore
from benchmarks.sources import Source
from benchmarks.suite import find_suite
from mtl_lora.errors import InvalidInput
from reports.comparison import Comparison, by_conflict, by_pictures, compare
from reports.plots import conflict_against_score, parameters_against_score
from reports.samples import draw_samples
from reports.tables import CONTROL, INTERVAL, controlled, notes, render, render_conflict, render_control, title, write_csv

SAMPLES = "samples"  # folder of pictures that belong to data sets; those of generated data lie beside the report


def write_report(results: Path, out: Path, source: Source | None = None) -> None:
    """Print every comparison and write comparison.{md,csv,tex} and the plots into ``out``.

    source: where the data of the runs are, for pictures with the methods' answers; generated ones are always drawn.
    """
    store = RunStore(results)
    records = store.all()
    if not records:
        raise InvalidInput(f"no run records in {results / 'runs'}: `mtl-lora run` makes them")
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(records)
    page = _Page()
    for number, family in enumerate(by_conflict(comparisons), 1):
        _conflicts(page, family, out / f"conflict-{family[0].config['suite']}-{number}.png")
    controls: list[Comparison] = []
    for family in by_pictures(comparisons):
        _control(page, family)
        controls += family[1:]
    drawn: set[str] = set()
    for number, comparison in enumerate(comparisons, 1):
        if any(comparison is control for control in controls):
            continue
        for budget in comparison.budgets:
            remarks = notes(comparison, comparison.at(budget))
            page.table(title(comparison, budget), lambda style, c=comparison, b=budget: render(c, b, style), remarks)
        plot = out / f"parameters-{comparison.config['suite']}-{number}.png"
        parameters_against_score(comparison, plot)
        page.plot("parameters against score", plot)
        if comparison.config["suite"] not in drawn:
            _samples(page, comparison, store, source, out)
        drawn.add(comparison.config["suite"])
    page.write(out)
    write_csv(comparisons, out / "comparison.csv")
    print(f"written: {out}/comparison.md, .csv, .tex and {page.plots} plot(s)")


def _samples(page: _Page, comparison: Comparison, store: RunStore, source: Source | None, out: Path) -> None:
    """Pictures with every answer: of generated data in the page, of data sets in a folder that is not for publishing."""
    if comparison.conflict is not None:
        for path in draw_samples(comparison, store, Source(), out):
            page.plot("pictures and answers", path)
    elif find_suite(comparison.config["suite"]).pictures and source is not None:
        (out / SAMPLES).mkdir(exist_ok=True)
        for path in draw_samples(comparison, store, source, out / SAMPLES):
            print(f"pictures and answers: {path}")


def _control(page: _Page, family: list[Comparison]) -> None:
    for budget in family[0].budgets:
        for label, having in controlled(family, budget).items():
            page.table(
                f"Own pictures against others, {label}: {title(family[0], budget)}",
                lambda style, b=budget, own=label, of=having: render_control(of, own, b, style),
                [CONTROL],
            )


def _conflicts(page: _Page, family: list[Comparison], plot: Path) -> None:
    for budget in family[0].budgets:
        page.table(
            f"Score against conflict, {title(family[0], budget, conflict=False)}",
            lambda style, b=budget: render_conflict(family, b, style),
            [
                "Mean score of the suite in percent; in parentheses the advantage over plain LoRA in points, seed by seed, "
                f"with its {INTERVAL}."
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

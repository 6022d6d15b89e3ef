"""Writes the report: everything that a folder of results can tell, as one page and in files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.experiment.methods import order_for_display
from benchmarks.progress import shown
from benchmarks.suites import find_suite
from mtl_lora.errors import InvalidInput
from reports import page
from reports.evidence.comparison import Comparison, Entry, compare
from reports.evidence.differences import MARGIN
from reports.evidence.results import Results
from reports.evidence.significance import PairedTests
from reports.figures.examples import draw_samples
from reports.sections import Part, Section, Sections
from reports.tables.footnotes import INTERVAL, setting
from reports.tables.scores import long_table, scored_over_plain
from reports.tables.table import Table, Text, plain_name

if TYPE_CHECKING:
    from benchmarks.sources import Source

PAGE = "index.html"
SAMPLES = "samples"  # folder of pictures that belong to data sets; those of generated data are figures
SUMMARY = (
    "Mean score of each suite in percent; in parentheses the advantage over plain LoRA in points with its 95% interval: "
    f"{INTERVAL}. Bold (a star in a terminal): significant, corrected for as many methods. Seeds: the fewest "
    "and the most of a method. Budget: adapter parameters, and their share of the base. What was trained on how much stands "
    "in the sections."
)


def write_report(folder: Path, out: Path, source: Source | None = None, margin: float = MARGIN) -> None:
    """Write page, tables and figures into ``out``, and print the summary and what the data supports.

    source: where the data of the runs are, for pictures with the methods' answers; generated ones are always drawn.
    margin: within which methods are called equivalent, in points of percent.
    """
    if not 0 < margin < 100:
        raise InvalidInput(f"the margin is {margin:g}; it lies between 0 and 100, in points of percent")
    results = Results(folder)
    _remove_earlier(out)
    for part in (page.TABLES, page.FIGURES):
        (out / part).mkdir(parents=True, exist_ok=True)
    comparisons = compare(results.records)
    maker = Sections(results, comparisons, out / page.FIGURES, margin)
    sections, names = [], maker.names()
    with shown("report", len(names), True) as advance:
        for name in names:
            section = maker.section(name)
            for comparison in maker.of(name)[:1]:
                section.parts.extend(_samples(comparison, results, source, out))
            sections.append(section)
            advance()
    sections += [*maker.unmeasured(), *maker.speed()]
    summary = summary_table([c for name in names for c in maker.of(name) if c.config.split == "test"], maker)
    _write_tables([summary, long_table(comparisons), *_tables(sections)], out / page.TABLES)
    (out / PAGE).write_text(page.html(sections, summary, comparisons, results, out), encoding="utf-8")
    (out / "index.md").write_text(page.markdown(sections, summary), encoding="utf-8")
    print(f"{summary.plain()}\n\n{SUMMARY}\n")
    for section in sections:
        for part in section.parts:
            if part.points and not part.folded:
                print("\n".join([f"{section.name}, {part.title}", *(f"- {point}" for point in part.points), ""]))
    print(f"written: {out}/{PAGE}, with index.md, {page.TABLES}/ and {page.FIGURES}/ beside it")


def _remove_earlier(out: Path) -> None:
    """Remove the tables and figures of an earlier report, lest some stay that nothing leads to; nobody else's files."""
    earlier = out / PAGE
    if earlier.exists():
        text = earlier.read_text(encoding="utf-8")
        if page.GENERATOR not in text:
            raise InvalidInput(f"{earlier} is not a page that `mtl-lora report` wrote: give another folder with --out")
        for name in set(re.findall(rf'href="((?:{page.TABLES}|{page.FIGURES})/[^"/]+)"', text)):
            (out / name).unlink(missing_ok=True)


def summary_table(comparisons: list[Comparison], maker: Sections) -> Table:
    """A row a comparison and budget of several methods, a column a method."""
    labels = order_for_display({e.name for c in comparisons for e in c.entries if not e.reference})
    compared = [c for c in comparisons if any(len(paired.matched) > 1 for paired in maker.tests(c).values())]
    alike, rows = Counter(map(brief, compared)), []
    for comparison in compared:
        released, name = comparison.config.protocol == "paper", brief(comparison)
        name = name if alike[name] == 1 else f"{comparison.config.suite}: {setting(comparison)}"
        for budget, paired in maker.tests(comparison).items():
            if len(paired.matched) > 1:
                share = f"{budget:,} ({budget / comparison.entries[0].base:.1%})"
                counts = [len(entry.seeds) for entry in paired.matched]
                seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
                cells = [_summed([e for e in paired.matched if e.name == label], paired) for label in labels]
                rows.append([name, "as released" if released else share, seeds, *cells])
    return Table("summary", "Every suite at every budget", ["suite", "budget", "seeds", *labels], rows, [SUMMARY])


def brief(comparison: Comparison) -> str:
    """Suite, and what was cut or set."""
    rows, conflict = comparison.config.max_train, comparison.conflict
    parts = [comparison.config.suite]
    parts += [f"{rows:,} rows a task"] if rows else []
    parts += [f"conflict {conflict:g}"] if conflict is not None else []
    return ", ".join(parts)


def _summed(entries: list[Entry], paired: PairedTests) -> Text | str:
    """A method's score, or those of several of its settings."""
    if not entries:
        return ""
    if len(entries) == 1:
        return scored_over_plain(paired, entries[0])
    return "; ".join(f"{entry.label} {scored_over_plain(paired, entry)}" for entry in entries)


def _samples(comparison: Comparison, results: Results, source: Source | None, out: Path) -> Iterable[Part]:
    """Pictures with every answer: of generated data in the page, of data sets in a folder that is not for publishing."""
    try:
        if comparison.conflict is not None:
            figures = draw_samples(comparison, results, None, out / page.FIGURES)
            if figures:
                yield Part("Pictures and answers", blocks=figures, folded=True)
        elif find_suite(comparison.config.suite).pictures and source is not None:
            (out / SAMPLES).mkdir(exist_ok=True)
            for figure in draw_samples(comparison, results, source, out / SAMPLES):
                print(f"pictures and answers: {out / SAMPLES / figure.name}.png")
    except InvalidInput as error:  # other data than were scored: the report needs none
        print(f"no pictures: {error}")


def _tables(sections: Iterable[Section]) -> Iterable[Table]:
    return (block for section in sections for part in section.parts for block in part.blocks if isinstance(block, Table))


def _write_tables(tables: Iterable[Table], folder: Path) -> None:
    for table in tables:
        name = plain_name(table.name)
        (folder / f"{name}.csv").write_text(table.csv(), encoding="utf-8")
        (folder / f"{name}.md").write_text(table.markdown(), encoding="utf-8")
        (folder / f"{name}.tex").write_text(table.latex(), encoding="utf-8")

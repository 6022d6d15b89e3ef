"""The page: one HTML file that holds all it shows, and the short of it in Markdown."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.records.config import Setting, plain
from benchmarks.records.schema import Environment, Git, RunRecord
from reports.evidence.comparison import Comparison, common
from reports.evidence.entries import Entry
from reports.evidence.results import Results
from reports.figures.style import Figure
from reports.overview import QUESTION, Claim
from reports.parts import Part, Section, slug
from reports.tables.footnotes import setting
from reports.tables.glossary import GLOSSARY
from reports.tables.table import Table, Text, markdown

TABLES, FIGURES = "tables", "figures"  # folders beside the page
ANCHOR = 10  # letters of a run's id that links within the page have
ROWS = 200  # of a table that the page shows; its CSV has all


@dataclass(frozen=True)
class Overview:
    """The first screen. basis: how it was measured, in a line."""

    claims: Sequence[Claim]
    basis: str
    blocks: Sequence[Table | Figure]


def html(
    overview: Overview, sections: Sequence[Section], comparisons: Sequence[Comparison], results: Results, out: Path
) -> str:
    """The whole page. out: where it will lie, for links to records."""
    anchors = {
        run: f"r-{next(iter(e.runs.values()))[:ANCHOR]}" for c in comparisons for e in c.entries for run in e.runs.values()
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {"table": lambda block: isinstance(block, Table), "text": lambda cell: isinstance(cell, Text)}
    environment.filters["slug"] = slug
    return environment.get_template("page.html.j2").render(
        question=QUESTION,
        overview=overview,
        sections=sections,
        anchor=anchors.get,
        glossary=GLOSSARY,
        provenance=[_provenance(comparison, results, out, anchors) for comparison in comparisons],
        tables=TABLES,
        figures=FIGURES,
        most=ROWS,
    )


def index(overview: Overview, sections: Sequence[Section]) -> str:
    """The short of it in Markdown: what is not folded on the page, and where the rest is."""
    lines = ["# Report", markdown(QUESTION)]
    lines += [f"- **{markdown(claim.answer)}** {markdown(claim.detail)}" for claim in overview.claims]
    lines += [markdown(overview.basis), *(_block(block) for block in overview.blocks)]
    for section in sections:
        lines += [f"## {markdown(section.name)}", markdown(section.summary)]
        for part in section.parts:
            lines += _part(part)
    lines += ["## Glossary", *(f"- **{markdown(term)}**: {markdown(text)}" for term, text in GLOSSARY.items())]
    return "\n\n".join(line.strip() for line in lines if line).replace("\n\n- ", "\n- ") + "\n"


def _part(part: Part) -> list[str]:
    lines = [f"### {markdown(part.title)}", *(f"- {markdown(point)}" for point in part.points)]
    if not part.folded:
        return [*lines, *(_block(block) for block in part.blocks)]
    files = [_link(block) for block in part.all_blocks() if isinstance(block, Table) and block.paper]
    return [*lines, f"Tables: {'; '.join(files)}; others in [{TABLES}]({TABLES})."] if files else lines


def _block(block: Table | Figure) -> str:
    """In full what goes into papers, of other tables a link."""
    if isinstance(block, Figure):
        return f"![{markdown(block.alt)}]({FIGURES}/{block.name}.png)"
    return block.markdown() if block.paper else f"Table: {_link(block)}."


def _link(table: Table) -> str:
    return f"[{markdown(table.title)}]({TABLES}/{table.name}.csv)"


def _provenance(comparison: Comparison, results: Results, out: Path, anchors: dict[str, str]) -> dict[str, Any]:
    """Where the numbers of a comparison come from: what its runs have in common, each of them, and what made them."""
    records = {record.id: record for record in comparison.records}
    makers: dict[str, Environment] = {}
    entries = [
        _entry(entry, records, results, out, makers) | {"anchor": anchors[next(iter(entry.runs.values()))]}
        for entry in comparison.entries
    ]
    return {
        "title": f"{comparison.config.suite}: {setting(comparison)}",
        "config": json.dumps(common(comparison.config), indent=1, sort_keys=True),
        "entries": entries,
        "makers": [_environment(environment) for environment in makers.values()],
    }


def _entry(
    entry: Entry, records: dict[str, RunRecord], results: Results, out: Path, makers: dict[str, Environment]
) -> dict[str, Any]:
    """makers: the environments so far, to which new ones are added."""
    own = [records[run] for run in entry.runs.values()]
    for record in own:
        makers.setdefault(_maker(record), record.environment)
    return {
        "label": entry.label,
        "budget": entry.budget,
        "method": _settings(own[0].config.method.settings),
        "makers": sorted({[*makers].index(_maker(record)) + 1 for record in own}),
        "runs": [
            {
                "seed": record.config.seed,
                "score": f"{100 * record.score:.2f}",
                "created": record.created[:10],
                "record": _relative(results.path(record.id), out),
                "predictions": _relative(results.predictions_path(record.id), out),
            }
            for record in own
        ],
    }


def _settings(method: dict[str, Setting]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(method.items()))


def _maker(record: RunRecord) -> str:
    return json.dumps(plain(record.environment), sort_keys=True)


def _environment(environment: Environment) -> dict[str, str]:
    git = environment.git or Git("unknown", dirty=False)
    return {
        "command": environment.command,
        "versions": ", ".join(f"{name} {version}" for name, version in environment.packages.items()),
        "python": environment.python,
        "hardware": f"{environment.hardware}, {environment.platform}",
        "revision": git.revision[:12] + (" with uncommitted changes" if git.dirty else ""),
    }


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path, out)).as_posix()

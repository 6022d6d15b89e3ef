"""The page: one HTML file that holds all it shows, and the same in Markdown."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.records.config import plain
from benchmarks.records.schema import Environment, Git, RunRecord
from reports.evidence.comparison import Comparison, Entry, common
from reports.evidence.results import Results
from reports.figures.style import Figure
from reports.sections import Section
from reports.tables.footnotes import setting
from reports.tables.table import Table, Text

TABLES, FIGURES = "tables", "figures"  # folders beside the page
GENERATOR = '<meta name="generator" content="mtl-lora report">'


def html(sections: Sequence[Section], summary: Table, comparisons: Sequence[Comparison], results: Results, out: Path) -> str:
    """The whole page. out: where it will lie, for links to records and to the files of tables and figures."""
    anchors = {run: next(iter(e.runs.values())) for c in comparisons for e in c.entries for run in e.runs.values()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {"table": lambda block: isinstance(block, Table), "text": lambda cell: isinstance(cell, Text)}
    environment.filters["data"] = _data
    return environment.get_template("page.html.j2").render(
        sections=sections,
        summary=summary,
        anchor=anchors.get,
        provenance=[_provenance(comparison, results, out) for comparison in comparisons],
        tables=TABLES,
        figures=FIGURES,
    )


def markdown(sections: Sequence[Section], summary: Table) -> str:
    """The same without the records."""
    lines = ["# Report", summary.markdown()]
    for section in sections:
        lines += [f"## {section.name}", section.summary]
        for part in section.parts:
            lines += [f"### {part.title}", "\n".join(f"- {point}" for point in part.points)]
            for block in part.blocks:
                shown = block.markdown() if isinstance(block, Table) else f"![{block.caption}]({FIGURES}/{block.name}.png)"
                lines.append(shown)
    return "\n\n".join(line.strip() for line in lines if line) + "\n"


def _data(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()


def _provenance(comparison: Comparison, results: Results, out: Path) -> dict[str, Any]:
    """Where the numbers of a comparison come from: what its runs have in common, and each of them."""
    records = {record.id: record for record in comparison.records}
    return {
        "title": f"{comparison.config.suite}: {setting(comparison)}",
        "config": json.dumps(common(comparison.config), indent=1, sort_keys=True),
        "entries": [_entry(entry, records, results, out) for entry in comparison.entries],
    }


def _entry(entry: Entry, records: dict[str, RunRecord], results: Results, out: Path) -> dict[str, Any]:
    own = [records[run] for run in entry.runs.values()]
    environments = {json.dumps(plain(r.environment), sort_keys=True): r.environment for r in own}
    return {
        "anchor": own[0].id,
        "label": entry.label,
        "budget": entry.budget,
        "method": json.dumps(plain(own[0].config.method), sort_keys=True),
        "environments": [_environment(environments[text]) for text in sorted(environments)],
        "runs": [
            {
                "seed": record.config.seed,
                "score": f"{100 * record.score:.2f}",
                "created": record.created,
                "record": _relative(results.path(record.id), out),
                "predictions": _relative(results.predictions_path(record.id), out),
            }
            for record in own
        ],
    }


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

"""``mtl-lora report`` and ``compare``: what records say of the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.experiment.study_options import Mirror, Plugins
from benchmarks.options import RESULTS, Results, source_of
from benchmarks.plugins import load_plugins
from benchmarks.quiet import quiet

app = typer.Typer()
Margin = Annotated[float, typer.Option(help="points of percent within which methods are called equivalent")]
OnlySuite = Annotated[str | None, typer.Option("--suite", help="only this suite")]
OnlyProtocol = Annotated[str | None, typer.Option("--protocol", help="only what was measured by this protocol")]


@app.command()
def report(
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option(help="folder of the report; RESULTS/report unless given")] = None,
    samples: Annotated[bool, typer.Option(help="draw scored pictures with every answer too; this needs the data")] = False,
    margin: Margin = 1.0,
    suite: OnlySuite = None,
    protocol: OnlyProtocol = None,
    beside: Annotated[Path | None, typer.Option("--with", help="other results, to stand beside these on the page")] = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
) -> None:
    """Compare the methods, from the records alone: one page, tables and figures.

    With --suite or --protocol: print the short form of that, and write nothing.
    """
    if samples:
        quiet()
    load_plugins(plugin)
    if suite or protocol:
        from reports.terminal import print_short

        print_short(results, suite, protocol, margin)
        return
    from reports.report import write_report

    write_report(results, out or results / "report", source_of(mirror) if samples else None, margin, beside)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="a method of the records, with its settings if it has any")],
    second: Annotated[str, typer.Argument(help="the method or reference that it is compared with")],
    results: Results = RESULTS,
    margin: Margin = 1.0,
    suite: OnlySuite = None,
    protocol: OnlyProtocol = None,
    plugin: Plugins = None,
) -> None:
    """Print what two methods' runs say of each other, wherever both were measured."""
    load_plugins(plugin)
    from reports.terminal import print_comparison

    print_comparison(results, first, second, suite, protocol, margin)

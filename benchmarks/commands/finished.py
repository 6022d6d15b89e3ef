"""``mtl-lora diagnose``, ``predict``, ``export`` and ``merge``: what finished runs are good for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.experiment.study_options import Features, Mirror, Plugins
from benchmarks.options import RESULTS, Results, source_of, with_options
from benchmarks.plugins import load_plugins
from benchmarks.quiet import quiet
from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from benchmarks.analysis.inference import FinishedRun
    from benchmarks.suites.spec import Task

app = typer.Typer()
PushToHub = Annotated[str | None, typer.Option(help="model repository of the Hugging Face hub to upload it to as well")]


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


@dataclass(frozen=True)
class OneTask:
    """Which task of which finished run, and where all that is of it lies."""

    run: Annotated[str, typer.Argument(help="id of a finished run: the name of its record")]
    task: Annotated[str, typer.Option(help="a task of the run")]
    results: Results = RESULTS
    mirror: Mirror = None
    plugin: Plugins = None

    def open(self) -> tuple[FinishedRun, Task]:
        """The run as it was trained, and the task."""
        load_plugins(self.plugin)
        from benchmarks.analysis.inference import FinishedRun
        from benchmarks.records.store import RunStore

        finished = FinishedRun.open(RunStore(self.results), self.run, source_of(self.mirror))
        return finished, finished.task(self.task)


@app.command()
@with_options(OneTask)
def predict(
    of: OneTask,
    file: Annotated[Path | None, typer.Argument(help="one sample per line, parts with a tab; else standard input")] = None,
) -> None:
    """Print the answer that a finished run gives each line of text; files of pictures come first in a line."""
    quiet()
    if file is not None and not file.is_file():
        raise InvalidInput(f"{file} is not a file")
    if file is None and sys.stdin is None:
        raise InvalidInput("standard input is closed: give a file of texts")
    finished, task = of.open()
    with file.open("rb") if file else nullcontext(sys.stdin.buffer) as lines:
        for answer in finished.predict(task, _texts(lines)):
            print(answer, flush=True)


@app.command()
@with_options(OneTask)
def export(
    of: OneTask,
    to: Annotated[Path, typer.Option(help="folder for the checkpoint")],
    push_to_hub: PushToHub = None,
) -> None:
    """Write one task of a finished run as an ordinary PEFT checkpoint, its head and a model card beside it."""
    quiet()
    from benchmarks.analysis.export import export_task

    export_task(*of.open(), to)
    _say(to, push_to_hub)


@app.command()
@with_options(OneTask)
def merge(
    of: OneTask,
    to: Annotated[Path, typer.Option(help="new folder for the model")],
    push_to_hub: PushToHub = None,
) -> None:
    """Write one task of a finished run as a plain model: the adapter merged into its base, with tokenizer and head."""
    quiet()
    from benchmarks.analysis.export import merge_task

    merge_task(*of.open(), to)
    _say(to, push_to_hub)


def _say(folder: Path, push_to_hub: str | None) -> None:
    from benchmarks.analysis.export import push

    print(f"written: {folder}")
    if push_to_hub:
        print(f"uploaded: {push(folder, push_to_hub)}")


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text, whatever the locale."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"line {number} is not text in UTF-8: {error.reason} at byte {error.start}") from error

"""Options of the command line that several commands have; above all those that say what to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.experiment.study_options import StudyOptions

if TYPE_CHECKING:
    from benchmarks.sources import Source

Results = Annotated[Path, typer.Option(help="folder of run records")]
RunId = Annotated[str, typer.Argument(help="id of a finished run: the name of its record")]
TaskName = Annotated[str, typer.Option(help="a task of the run")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
RESULTS = Path("results")


def source_of(mirror: Path | None, features: Path | None = None) -> Source:
    """Where data and models come from."""
    from benchmarks.sources import Source

    return Source(mirror, features)


def with_study_options(command: Callable) -> Callable:
    """Give a command all of :class:`StudyOptions`; it gets the studies they ask for as its first argument."""
    signature, own = inspect.signature(StudyOptions, eval_str=True), inspect.signature(command, eval_str=True)
    extra = list(own.parameters.values())[1:]

    def wrapped(**options: Any) -> None:
        from benchmarks.experiment.resolve import studies

        rest = {p.name: options.pop(p.name) for p in extra}
        command(studies(StudyOptions(**options)), **rest)

    given = signature.replace(parameters=[*signature.parameters.values(), *extra], return_annotation=None)
    wrapped.__signature__ = given  # type: ignore[attr-defined] # typeshed lacks it
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped

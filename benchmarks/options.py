"""Options that several commands have, and how a dataclass becomes options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.sources import Source

Results = Annotated[Path, typer.Option(help="folder of run records")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]
RESULTS = Path("results")


def source_of(mirror: Path | None, features: Path | None = None) -> Source:
    """Where data and models come from."""
    from benchmarks.sources import Source

    return Source(mirror, features)


def with_options(*kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of dataclasses as its options; it gets an object of each as its first arguments."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields = [[*inspect.signature(kind, eval_str=True).parameters.values()] for kind in kinds]
        others = [*inspect.signature(command, eval_str=True).parameters.values()][len(kinds) :]

        def wrapped(**given: Any) -> None:
            made = [kind(**{f.name: given.pop(f.name) for f in of}) for kind, of in zip(kinds, fields, strict=True)]
            command(*made, **given)

        by_name = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for of in [*fields, others] for p in of]  # in any order
        wrapped.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined] # typeshed lacks it
        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        return wrapped

    return decorate

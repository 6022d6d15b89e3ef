"""A module that is run by ``python -m``: its main function as a command."""

from __future__ import annotations

from collections.abc import Callable

import typer

from mtl_lora.errors import InvalidInput


def as_command(main: Callable[..., None]) -> None:
    """Run ``main`` with the options of the command line; bad input ends in one line."""
    try:
        typer.run(main)
    except InvalidInput as error:
        raise SystemExit(f"mtl-lora: {error}") from None

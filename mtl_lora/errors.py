"""The one exception that stands for a mistake in what the caller gave."""

from __future__ import annotations

from collections.abc import Iterable


class InvalidInput(ValueError):
    """Bad input: the message is one line that says what was wrong and what is allowed.

    The command line prints it without a traceback and exits with status 2.
    """


def unknown(kind: str, name: object, allowed: Iterable[object]) -> InvalidInput:
    """The error for a name that is not among the ``allowed`` ones of its ``kind``."""
    return InvalidInput(f"unknown {kind} {str(name)!r}; known: {', '.join(map(str, allowed))}")

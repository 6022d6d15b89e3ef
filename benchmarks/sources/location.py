"""Where data sets and models lie: on the hub, or in a mirror folder of plain clones; what cannot be read, in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_session
from platformdirs import user_cache_path

from mtl_lora.errors import InvalidInput

TIMEOUT = 30  # seconds that a server may be silent


@dataclass(frozen=True)
class Location:
    """With a mirror, everything comes from it: ``mirror/datasets/<id>`` and ``mirror/models/<id>``.

    Several folders, separated as in PATH, are one mirror; what is in two of them comes from the first.
    """

    mirror: Path | None = None

    def __post_init__(self) -> None:
        for folder in self._mirrors:
            if not folder.is_dir():
                raise InvalidInput(f"mirror {folder} is not a folder; it should hold datasets/<hub id> and models/<hub id>")

    @property
    def _mirrors(self) -> list[Path]:
        return [] if self.mirror is None else [Path(part) for part in str(self.mirror).split(os.pathsep)]

    def mirrored(self, kind: str, name: str) -> Path:
        """The folder that the mirror has for a hub id among its "datasets" or "models", the ``kind``."""
        for mirror in self._mirrors:
            if name and (mirror / kind / name).is_dir():
                return mirror / kind / name
        folders = [mirror / kind for mirror in self._mirrors]
        held = sorted({str(p.relative_to(folder)) for folder in folders for p in folder.glob("*/*") if p.is_dir()})
        raise InvalidInput(f"mirror {self.mirror} lacks {kind}/{name}; it has: {', '.join(held) or 'nothing of that kind'}")


def cache_folder() -> Path:
    """Where what can be made again is kept."""
    try:
        return user_cache_path("mtl-lora")
    except RuntimeError as error:
        raise InvalidInput("this user has no home folder for caches: set HOME") from error


def impatient() -> None:
    """Let no server of the hub be silent for longer than TIMEOUT: some of its client's own requests would wait for ever."""
    session = get_session()
    hooks = session.event_hooks
    if _hurry not in hooks["request"]:
        session.event_hooks = hooks | {"request": [*hooks["request"], _hurry]}


def _hurry(request: Any) -> None:
    waits = request.extensions["timeout"]
    request.extensions["timeout"] = {kind: TIMEOUT if wait is None else wait for kind, wait in waits.items()}


@contextmanager
def readable(what: str) -> Iterator[None]:
    """What a library finds wrong with files from outside becomes one line: they raise whatever their parsers raise."""
    try:
        yield
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:
        raise InvalidInput(f"{what} cannot be read: {_reason(error)}") from error


def unreachable(kind: str, name: str, error: Exception) -> InvalidInput:
    """What to raise where a data set or model, the ``kind``, cannot be had: in one line, with what helps."""
    return InvalidInput(
        f"cannot load {kind} {name}: {_reason(error)} (without internet, give --mirror DIR with a clone of it)"
    )


def _reason(error: BaseException) -> str:
    """The first and the last line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    first, *more = [line.strip() for line in (str(error).strip() or "unknown").splitlines()]
    named = first if " " in first else f"{type(error).__name__}: {first}"
    return f"{named} .. {more[-1]}" if more else named

"""Run records: one JSON file a finished run, its predictions beside it; written whole or not at all, never edited."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError

from benchmarks.records import schema
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class RunStore:
    """The folder of results: ``runs/<id>.json`` with ``<id>.predictions.parquet`` and the trained tensors in
    ``<id>.safetensors``; ``checkpoints/<id>`` while running; ``diagnoses/<id>.json`` of those looked into."""

    folder: Path

    def record_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.json"

    def checkpoints(self, run_id: str) -> Path:
        return self.folder / "checkpoints" / run_id

    def trained_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.safetensors"

    def diagnosis_path(self, run_id: str) -> Path:
        return self.folder / "diagnoses" / f"{run_id}.json"

    def find(self, run_id: str) -> dict[str, Any] | None:
        """The record of a finished run, or None."""
        path = self.record_path(run_id)
        return read_record(path) if path.exists() else None

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Hold a run for this process. Gives whether it could be had, or another process holds it.

        The lock goes with the process that holds it, however that ends.
        """
        path = self.folder / "checkpoints" / f"{run_id}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
                if self.record_path(run_id).exists():  # whoever opened it meanwhile will see the record
                    path.unlink(missing_ok=True)

    def all(self) -> list[dict[str, Any]]:
        """Every record, in the order of ids."""
        return [read_record(path) for path in sorted((self.folder / "runs").glob("*.json"))]

    def write(self, record: dict[str, Any], predictions: pd.DataFrame, save: Callable[[Path], Any]) -> Path:
        """Write a finished run. predictions: columns task, row, label, prediction. save: writes the trained tensors to a
        path.

        The record comes last: it is the mark that the run is finished.
        """
        path = self.record_path(record["id"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(
            path.with_suffix(".predictions.parquet"), lambda temporary: predictions.to_parquet(temporary, index=False)
        )
        write_whole(self.trained_path(record["id"]), save)
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return path


def read_record(path: Path) -> dict[str, Any]:
    """A record, or InvalidInput where the file is not a whole one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _corrupt(path, str(error)) from error
    lacking = schema.PARTS - set(record) if isinstance(record, dict) else schema.PARTS
    if lacking:
        raise _corrupt(path, f"it lacks {', '.join(sorted(lacking))}")
    if record["schema"] != schema.RUN:
        raise _corrupt(path, f"its schema is {record['schema']}, this version reads {schema.RUN}")
    return record


def _corrupt(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path} is not a whole run record ({why}); remove it, and the run is done again")


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all: ``write`` gets the place of a temporary one, which then takes its name.

    Jobs on several machines may write into one folder: the temporary name says whose it is.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except SafetensorError as error:  # of a disk that is full, where others raise an OSError
        raise InvalidInput(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)  # what could not be written whole: a full disk needs no more of it

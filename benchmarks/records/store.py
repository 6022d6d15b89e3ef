"""Run records: one JSON file per run, what it answered beside it; written whole or not at all, never edited."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from safetensors import SafetensorError

from benchmarks.records.schema import RECORDS, RUN, FailureRecord, Record, RunRecord, to_json
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class RunStore:
    """The folder of results.

    ``runs/<id>.json`` with, of a finished run, ``<id>.predictions.parquet`` and the trained tensors in ``<id>.safetensors``,
    of another ``<id>.traceback.txt``; ``checkpoints/<id>`` while running; ``diagnoses/<id>.json`` of those looked into.
    """

    folder: Path

    def record_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.json"

    @property
    def leases(self) -> Path:
        """The folder of the leases of runs, where their checkpoints are too."""
        return self.folder / "checkpoints"

    def lease_path(self, run_id: str) -> Path:
        return self.leases / f"{run_id}.lease"

    def checkpoints(self, run_id: str) -> Path:
        return self.folder / "checkpoints" / run_id

    def trained_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.safetensors"

    def predictions_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.predictions.parquet"

    def traceback_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.traceback.txt"

    def diagnosis_path(self, run_id: str) -> Path:
        return self.folder / "diagnoses" / f"{run_id}.json"

    def find(self, run_id: str) -> RunRecord | None:
        """The record of a finished run, or None."""
        record = self._read(run_id)
        return record if isinstance(record, RunRecord) else None

    def get(self, run_id: str) -> RunRecord:
        """The record of a finished run; InvalidInput where there is none of that id."""
        if (record := self.find(run_id)) is None:
            raise InvalidInput(f"no run {run_id!r} in {self.folder / 'runs'}; `mtl-lora report` lists the runs there are")
        return record

    def find_failure(self, run_id: str) -> FailureRecord | None:
        """The record of a run that diverged or failed, or None."""
        record = self._read(run_id)
        return record if isinstance(record, FailureRecord) else None

    def finished(self) -> list[RunRecord]:
        """The records of all finished runs, in the order of ids."""
        return [record for record in self._all() if isinstance(record, RunRecord)]

    def failed(self) -> list[FailureRecord]:
        """The records of all runs that diverged or failed, in the order of ids."""
        return [record for record in self._all() if isinstance(record, FailureRecord)]

    def readable(self) -> Iterator[Record]:
        """All records in the order of ids, but for those that are not whole: one line each on standard error."""
        for path in sorted((self.folder / "runs").glob("*.json")):
            with left_out():
                yield read_record(path)

    def _read(self, run_id: str) -> Record | None:
        try:
            return read_record(self.record_path(run_id))
        except FileNotFoundError:
            return None

    def _all(self) -> Iterator[Record]:
        return map(read_record, sorted((self.folder / "runs").glob("*.json")))

    def write(self, record: RunRecord, predictions: pd.DataFrame, save: Callable[[Path], Any]) -> Path:
        """Write a finished run; the record comes last, the mark that the run is finished.

        Args:
            record: Of the run.
            predictions: Columns task, row, label, prediction, and what the answer mode adds.
            save: Writes the trained tensors to a path.

        Returns:
            The file of the record.
        """
        path = self.record_path(record.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.predictions_path(record.id), lambda temporary: predictions.to_parquet(temporary, index=False))
        write_whole(self.trained_path(record.id), save)
        write_whole(path, lambda temporary: temporary.write_text(to_json(record), encoding="utf-8"))
        self.traceback_path(record.id).unlink(missing_ok=True)
        return path

    def remove(self, run_id: str) -> None:
        """Remove a run with all that belongs to it, its record first."""
        paths = (self.record_path, self.predictions_path, self.trained_path, self.traceback_path, self.diagnosis_path)
        for path in paths:
            path(run_id).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints(run_id), ignore_errors=True)

    def write_failure(self, record: FailureRecord, traceback: str) -> Path:
        """Write what is left of a run that diverged or failed; a later attempt that finishes takes its place."""
        path = self.record_path(record.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.traceback_path(record.id), lambda temporary: temporary.write_text(traceback, encoding="utf-8"))
        write_whole(path, lambda temporary: temporary.write_text(to_json(record), encoding="utf-8"))
        return path


@contextmanager
def left_out() -> Iterator[None]:
    """What InvalidInput says of is left out of what goes on: the line goes to standard error."""
    try:
        yield
    except InvalidInput as error:
        print(f"left out: {error}", file=sys.stderr)


def read_record(path: Path) -> Record:
    """A record, or InvalidInput where the file is not a whole one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
        if raw.get("schema") == 1:
            raise InvalidInput(f"{path} is of schema 1: `mtl-lora records upgrade {path.parents[1]}` brings it to {RUN}")
        if raw.get("schema") != RUN:
            raise ValueError(f"its schema is {raw.get('schema')}, this version reads {RUN}")
        return RECORDS.validate_python(raw)
    except ValidationError as error:
        raise _corrupt(path, _first(error)) from error
    except InvalidInput:
        raise
    except ValueError as error:
        raise _corrupt(path, str(error)) from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"  # without the status, by which the type was chosen


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

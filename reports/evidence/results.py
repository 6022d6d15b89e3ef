"""Everything under a folder of results: run records, predictions, diagnoses, timings and published numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path

import pandas as pd

from benchmarks.records.measurements import Diagnosis, SpeedRecord, read_diagnosis, read_speed
from benchmarks.records.schema import FailureRecord, Record, RunRecord
from benchmarks.records.store import RunStore, left_out
from benchmarks.scoring.resampling import Columns
from mtl_lora.errors import InvalidInput
from reports.evidence.checks import Answers, answers_of, checked_record, wrong_answers

PUBLISHED = ["suite", "model", "method", "rank", "parameters", "task", "metric", "value", "source", "hand", "note"]


Wanted = Callable[[list[RunRecord]], Iterable[RunRecord]]


class Results:
    """The runs of a folder and of the folders within it; a run that lies in several is taken from the first."""

    def __init__(self, folder: Path, wanted: Wanted = list) -> None:
        """InvalidInput where there are no records. One that is not what it says is left out, with a line.

        wanted: which of all records to take; the predictions of others are not read.
        """
        self.folder = folder
        self._stores: dict[str, RunStore] = {}
        self._diagnoses: dict[str, Diagnosis | None] = {}
        self.failures: list[FailureRecord] = []
        records = list(self._read())
        nothing = InvalidInput(f"no run records in {folder / 'runs'}: `mtl-lora run` makes them")
        if not records:
            raise nothing
        kept = {record.id for record in wanted([record for _, record in records])}
        self._answers: dict[str, Answers] = {}
        for store, record in records:
            if record.id in kept:
                with left_out():
                    self._take(store, record)
        for run, line in wrong_answers([*self._answers.values()]).items():
            with left_out():
                del self._answers[run]
                raise InvalidInput(line)
        self.records = [own.record for own in self._answers.values()]
        every: list[Record] = [*self.failures, *self.records]
        self._by_id = {record.id: record for record in every}
        if kept and not self.records:
            raise nothing

    def find(self, run: str) -> Record | None:
        """The record of a run that finished, diverged or failed, or None."""
        return self._by_id.get(run)

    def _read(self) -> Iterator[tuple[RunStore, RunRecord]]:
        """The records of finished runs, each with where it lies."""
        for runs in [self.folder / "runs", *sorted(self.folder.glob("*/runs"))]:
            for path in sorted(runs.glob("*.json")):
                with left_out():
                    record = checked_record(path)
                    if isinstance(record, FailureRecord):
                        self.failures.append(record)
                    else:
                        yield RunStore(runs.parent), record

    def _take(self, store: RunStore, record: RunRecord) -> None:
        path = store.record_path(record.id)
        if record.id in self._stores:
            raise InvalidInput(f"{path} is of the same run as {self.path(record.id)}")
        self._answers[record.id] = answers_of(record, path, read_predictions(store.predictions_path(record.id)))
        self._stores[record.id] = store

    def path(self, run: str) -> Path:
        """The file of a record."""
        return self._stores[run].record_path(run)

    def predictions_path(self, run: str) -> Path:
        """The file of what a run answered."""
        return self.path(run).with_suffix(".predictions.parquet")

    def predictions(self, run: str) -> pd.DataFrame:
        """What a run answered: columns task, row, label, prediction, and what its answer mode adds."""
        return read_predictions(self.predictions_path(run))

    def by_task(self, run: str) -> dict[str, Columns]:
        """The same by task, in the order of rows, without texts."""
        return self._answers[run].by_task

    def diagnosis(self, run: str) -> Diagnosis | None:
        """What ``mtl-lora diagnose`` found inside a run, or None; a damaged one is left out, with a line."""
        if run not in self._diagnoses:
            path, self._diagnoses[run] = self._stores[run].diagnosis_path(run), None
            if path.exists():
                with left_out():
                    self._diagnoses[run] = _of_run(read_diagnosis(path), self._by_id[run], path)
        return self._diagnoses[run]

    def speed(self) -> dict[str, SpeedRecord]:
        """What the speed benchmark measured, by the name of its file; a damaged one is left out, with a line."""
        found = {}
        for path in sorted(self.folder.glob("speed/speed-*.json")):
            with left_out():
                found[path.stem] = read_speed(path)
        return found

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published numbers, all as text; the columns are those of ``PUBLISHED``."""
        tables = [_published(path) for path in sorted(self.folder.glob("published/*.csv"))]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=PUBLISHED)


def read_predictions(path: Path) -> pd.DataFrame:
    """Predictions, or InvalidInput where their file is missing or damaged."""
    try:
        return pd.read_parquet(path)
    except (ValueError, FileNotFoundError) as error:  # pyarrow's is a ValueError
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InvalidInput(f"{path} {why}: remove the record beside it, and the run is done again") from error


def _of_run(diagnosis: Diagnosis, record: Record, path: Path) -> Diagnosis:
    if (diagnosis.id, diagnosis.tasks) != (record.id, record.config.tasks):
        raise InvalidInput(f"{path} is the diagnosis of run {diagnosis.id}, of tasks {', '.join(diagnosis.tasks)}")
    return diagnosis


def _published(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas'
        raise InvalidInput(f"{path} is no table of published numbers: {error}") from error
    if [*table.columns] != PUBLISHED:
        raise InvalidInput(f"{path} has the columns {', '.join(table.columns)}; wanted: {', '.join(PUBLISHED)}")
    for suite in dict.fromkeys(table["suite"]):
        if not re.fullmatch(r"\w[\w.-]*", suite):
            raise InvalidInput(f"{path} names a suite {suite!r}; names are letters, digits, and - or . or _ between them")
    wrong = [value for value in table["value"] if value and not _number(value)]
    if wrong:
        raise InvalidInput(f"{path} has the value {wrong[0]!r}, which is no number; an unknown one is left empty")
    return table


def _number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False

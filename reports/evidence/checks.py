"""Is a record what it says? What is not is left out of a report, with one line that names its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.records.schema import Record, RunRecord
from benchmarks.records.store import read_record
from benchmarks.scoring.resampling import names_queries, weighted_scores
from benchmarks.suites import all_suites, recorded_suite
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput

CLOSE = 1e-6  # a score from predictions, which are kept in half of the digits it was computed with, against the record's


def checked_record(path: Path) -> Record:
    """The record of a file; InvalidInput where it is not whole, not of that name, or not of what it was run on."""
    record = read_record(path)
    if record.id != path.stem:
        raise InvalidInput(f"{path} is the record of run {record.id}: its file has another name")
    if record.config.id != record.id:
        raise InvalidInput(f"{path}: its configuration is that of run {record.config.id}, so it was changed")
    for task in _tasks(record):
        if record.config.definitions.get(task.name) != task.definition:
            raise InvalidInput(f"{path}: task {task.name} was defined otherwise than it is now")
    return record


def _tasks(record: Record) -> tuple[Task, ...]:
    """Those of a record, as far as is known: that of a failed run does not say what a user's own suite is."""
    if isinstance(record, RunRecord):
        return recorded_suite(record).select(record.config.tasks)
    suite = all_suites().get(record.config.suite)
    return suite.select(record.config.tasks) if suite else ()


class PredictionChecks:
    """Checks of predictions against their record, and against those of other runs on the same rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], tuple[Path, np.ndarray]] = {}  # numbers and labels first seen, by suite, task

    def check(self, record: RunRecord, path: Path, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The predictions by task, in the order of rows, without their texts.

        Raises:
            InvalidInput: scores do not follow from predictions, or rows or labels are not those of other runs.
        """
        if abs(np.mean([score.score for score in record.scores.values()]) - record.score) > CLOSE:
            raise InvalidInput(f"{path}: its score is not the mean of its tasks' scores")
        lacking = [name for name in ("task", "row", "label", "prediction") if name not in predictions]
        if lacking:
            raise InvalidInput(f"{path}: its predictions have no column {lacking[0]!r}")
        kept = predictions.drop(columns="text", errors="ignore")
        frames = {str(task): own for task, own in kept.sort_values("row").groupby("task", observed=True)}
        if set(frames) != set(record.config.tasks):
            raise InvalidInput(f"{path}: its predictions are of the tasks {', '.join(frames)}")
        for task in recorded_suite(record).select(record.config.tasks):
            self._check_task(record, path, task, frames[task.name])
        return frames

    def _check_task(self, record: RunRecord, path: Path, task: Task, frame: pd.DataFrame) -> None:
        told = record.scores[task.name]
        if len(frame) != told.rows:
            raise InvalidInput(f"{path}: {len(frame)} predictions of task {task.name}, {told.rows} rows scored")
        if not task.query_column or names_queries(frame):
            found = float(weighted_scores(task, [frame], np.ones((1, len(frame))))[0, 0])
            if abs(found - told.score) > CLOSE:
                raise InvalidInput(
                    f"{path}: its predictions of task {task.name} score {found:.4f}, the record says {told.score:.4f}"
                )
        rows = np.stack([frame["row"].to_numpy(dtype=float), frame["label"].to_numpy(dtype=float)])
        key = (record.config.suite, task.name, record.config.data[task.name])
        first, others = self._rows.setdefault(key, (path, rows))
        if not np.array_equal(rows, others, equal_nan=True):
            raise InvalidInput(f"{path}: its predictions of task {task.name} have other rows or labels than {first}")

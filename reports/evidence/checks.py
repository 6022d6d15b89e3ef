"""Is a record what it says? What is not is left out of a report, with one line that names its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from benchmarks.records.schema import Record, RunRecord, TaskScore
from benchmarks.records.store import read_record
from benchmarks.scoring.resampling import Columns, names_queries, weighted_scores
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
    try:
        tasks = _tasks(record)
    except InvalidInput as error:  # a suite or a task that is unknown here
        raise InvalidInput(f"{path}: {error}") from error
    for task in tasks:
        if record.config.definitions.get(task.name) != task.definition:
            raise InvalidInput(f"{path}: task {task.name} was defined otherwise than it is now")
        if isinstance(record, RunRecord) and not _follows(record.scores.get(task.name), task):
            raise InvalidInput(f"{path}: its score of task {task.name} is not the mean of its metrics")
    return record


def _follows(score: TaskScore | None, task: Task) -> bool:
    """Whether a score is the mean of the task's metrics."""
    if score is None or not set(task.metrics) <= set(score.metrics):
        return False
    return abs(fmean(score.metrics[name] for name in task.metrics) - score.score) <= CLOSE


def _tasks(record: Record) -> tuple[Task, ...]:
    """Those of a record, as far as is known: that of a failed run does not say what a user's own suite is."""
    if isinstance(record, RunRecord):
        return recorded_suite(record).select(record.config.tasks)
    suite = all_suites().get(record.config.suite)
    return suite.select(record.config.tasks) if suite else ()


@dataclass(frozen=True)
class Answers:
    """What a run answered. path: of its record. by_task: the columns of each task, in the order of rows, without texts."""

    record: RunRecord
    path: Path
    by_task: dict[str, Columns]


def answers_of(record: RunRecord, path: Path, predictions: pd.DataFrame) -> Answers:
    """Predictions by task; InvalidInput where they are not of the tasks, or not of as many rows, as the record says."""
    if abs(np.mean([score.score for score in record.scores.values()]) - record.score) > CLOSE:
        raise InvalidInput(f"{path}: its score is not the mean of its tasks' scores")
    lacking = [name for name in ("task", "row", "label", "prediction") if name not in predictions]
    if lacking:
        raise InvalidInput(f"{path}: its predictions have no column {lacking[0]!r}")
    ordered = predictions.sort_values("row")
    columns = {name: ordered[name].to_numpy() for name in ordered if name not in ("task", "text")}
    places = ordered.groupby("task", observed=True).indices
    if set(places) != set(record.config.tasks):
        raise InvalidInput(f"{path}: its predictions are of the tasks {', '.join(places)}")
    for task, own in places.items():
        if len(own) != record.scores[task].rows:
            raise InvalidInput(f"{path}: {len(own)} predictions of task {task}, {record.scores[task].rows} rows scored")
    by_task: dict[str, Columns] = {
        task: {name: values[own] for name, values in columns.items()} for task, own in places.items()
    }
    return Answers(record, path, by_task)


def wrong_answers(answers: Sequence[Answers]) -> dict[str, str]:
    """By run what is wrong: a score that does not follow from its predictions, or rows or labels unlike those of others."""
    scored = [_Scored(own, task, _rows(own.by_task[task.name])) for own in answers for task in _tasks(own.record)]
    wrong = _wrong_scores(scored)
    first: dict[tuple[str, ...], _Scored] = {}
    for own in scored:
        if own.answers.record.id not in wrong:
            other = first.setdefault(own.data, own)
            if own.rows != other.rows:
                line = f"its predictions of task {own.task.name} have other rows or labels than {other.answers.path}"
                wrong[own.answers.record.id] = f"{own.answers.path}: {line}"
    return wrong


@dataclass(frozen=True)
class _Scored:
    """The answers of a run to a task. rows: their numbers and labels, equal where they are the same."""

    answers: Answers
    task: Task
    rows: bytes

    @property
    def data(self) -> tuple[str, ...]:
        """What of all runs should have the same rows."""
        config = self.answers.record.config
        return config.suite, self.task.name, config.data[self.task.name]


def _rows(columns: Columns) -> bytes:
    return np.stack([np.asarray(columns[name], dtype=float) for name in ("row", "label")]).tobytes()


def _wrong_scores(scored: Sequence[_Scored]) -> dict[str, str]:
    """By run; those of the same rows are scored at once, but where rows belong to queries, which may be others."""
    alike: dict[tuple[str | bytes, ...], list[_Scored]] = {}
    for own in scored:
        alone = own.answers.record.id if own.task.query_column else ""
        alike.setdefault((own.task.name, own.task.definition, own.rows, alone), []).append(own)
    wrong: dict[str, str] = {}
    for members in alike.values():
        task, columns = members[0].task, [own.answers.by_task[own.task.name] for own in members]
        if task.query_column and not names_queries(columns[0]):
            continue
        found = weighted_scores(task, columns, np.ones((1, len(columns[0]["row"]))))[0]
        for own, score in zip(members, found.tolist(), strict=True):
            told = own.answers.record.scores[task.name].score
            if abs(score - told) > CLOSE:
                line = f"its predictions of task {task.name} score {score:.4f}, the record says {told:.4f}"
                wrong.setdefault(own.answers.record.id, f"{own.answers.path}: {line}")
    return wrong

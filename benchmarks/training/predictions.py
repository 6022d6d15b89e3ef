"""From a model's outputs to predictions, and from those to scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import OUTPUTS, AnswerMode
from benchmarks.data.splits import TaskData
from benchmarks.metrics.base import Rows
from benchmarks.records.schema import TaskScore
from benchmarks.scoring.evaluate import evaluate_labels, evaluate_texts, points


def read_predictions(
    data: Sequence[TaskData],
    test: Dataset,
    mode: AnswerMode,
    outputs: np.ndarray | tuple[np.ndarray, ...],
    tokenizer: PreTrainedTokenizerBase,
) -> pd.DataFrame:
    """One row a scored sample, by task and row of the source's split: task, row, label, prediction,
    query of ranked rows, and what the mode adds.

    Of free-form answers the prediction is what the text earns, and there is no label.
    """
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    by_name = dict(zip(OUTPUTS, outputs, strict=False))
    task_ids, rows = np.array(test["task_ids"][:]), np.array(test["row"][:])
    parts = []
    label: float | np.ndarray
    for index, task_data in enumerate(data):
        places = np.flatnonzero(task_ids == index)
        places = places[np.argsort(rows[places])]
        answers = mode.answers(task_data.task, {name: values[places] for name, values in by_name.items()}, tokenizer)
        part = pd.DataFrame({"task": task_data.task.name, "row": rows[places]})
        if task_data.task.written:
            references = _of_rows(task_data.test, "answers", part["row"])
            label, answers = np.nan, {"prediction": points(task_data.task, list(answers["text"]), references), **answers}
        else:
            label = np.array(_of_rows(task_data.test, "label", part["row"]), dtype=float)
        if task_data.task.query_column:
            part["query"] = _of_rows(task_data.test, "query", part["row"])
        parts.append(part.assign(label=label, **answers))
    columns = pd.concat(parts, ignore_index=True)
    columns["task"] = pd.Categorical(columns["task"], [d.task.name for d in data])
    return columns


def grade_task(data: TaskData, predictions: pd.DataFrame) -> TaskScore:
    """The score of one task, from the predictions of all."""
    answers = predictions[predictions["task"] == data.task.name]
    if data.task.written:
        references = _of_rows(data.test, "answers", answers["row"])
        return evaluate_texts(data.task, answers["text"].tolist(), references, data.train["answers"])
    queries = np.array(_of_rows(data.test, "query", answers["row"])) if data.task.query_column else None
    rows = Rows(
        labels=answers["label"].to_numpy(dtype=float),
        predictions=answers["prediction"].to_numpy(dtype=float),
        confidence=answers["confidence"].to_numpy(dtype=float) if data.task.needs_confidence else None,
        queries=queries,
        lowest=data.task.scale[0],
    )
    return evaluate_labels(data.task, rows, np.array(data.train["label"], dtype=float))


def _of_rows(rows: Dataset, column: str, numbers: pd.Series) -> list[Any]:
    """A column of the rows of these numbers, in their order."""
    values = dict(zip(rows["row"], rows[column], strict=True))
    return [values[number] for number in numbers]

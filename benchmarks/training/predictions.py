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
    for index, own in enumerate(data):
        places = np.flatnonzero(task_ids == index)
        places = places[np.argsort(rows[places])]
        answers = mode.answers(own.task, {name: values[places] for name, values in by_name.items()}, tokenizer)
        part = pd.DataFrame({"task": own.task.name, "row": rows[places]})
        if own.task.written:
            references = _of_rows(own.test, "answers", part["row"])
            label, answers = np.nan, {"prediction": points(own.task, list(answers["text"]), references), **answers}
        else:
            label = np.array(_of_rows(own.test, "label", part["row"]), dtype=float)
        if own.task.query_column:
            part["query"] = _of_rows(own.test, "query", part["row"])
        parts.append(part.assign(label=label, **answers))
    columns = pd.concat(parts, ignore_index=True)
    columns["task"] = pd.Categorical(columns["task"], [d.task.name for d in data])
    return columns


def grade_task(data: TaskData, predictions: pd.DataFrame) -> TaskScore:
    """The score of one task, from the predictions of all."""
    own = predictions[predictions["task"] == data.task.name]
    if data.task.written:
        references = _of_rows(data.test, "answers", own["row"])
        return evaluate_texts(data.task, own["text"].tolist(), references, data.train["answers"])
    queries = np.array(_of_rows(data.test, "query", own["row"])) if data.task.query_column else None
    rows = Rows(
        labels=own["label"].to_numpy(dtype=float),
        predictions=own["prediction"].to_numpy(dtype=float),
        confidence=own["confidence"].to_numpy(dtype=float) if data.task.needs_confidence else None,
        queries=queries,
        lowest=data.task.scale[0],
    )
    return evaluate_labels(data.task, rows, np.array(data.train["label"], dtype=float))


def _of_rows(rows: Dataset, column: str, numbers: pd.Series) -> list[Any]:
    """A column of the rows of these numbers, in their order."""
    found = dict(zip(rows["row"], rows[column], strict=True))
    return [found[number] for number in numbers]

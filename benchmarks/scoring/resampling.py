"""Scores of many resamples of the scored rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.metrics.base import Rows, ratio, weighted_mean
from benchmarks.metrics.registry import OF_LABELS
from benchmarks.suites.spec import Task

UNANSWERED = -1  # equals no class
AT_ONCE = 4_000_000  # weights held in memory
Columns = Mapping[str, np.ndarray]  # of predictions by name, a value for each row; a data frame will do


def draw(rng: np.random.Generator, rows: int, resamples: int) -> Iterator[np.ndarray]:
    """Weights of resamples with replacement, as large as the sample, in parts."""
    part = max(AT_ONCE // rows, 1)
    # Counts of each row instead of copies of rows: a metric of all resamples of all runs is then a few matrix products.
    for start in range(0, resamples, part):
        count = min(part, resamples - start)
        places = rng.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(places.ravel(), minlength=count * rows).reshape(count, rows).astype(float)


def draw_queries(rng: np.random.Generator, queries: np.ndarray, resamples: int) -> Iterator[np.ndarray]:
    """Weights of resamples of as many queries as there are, in parts: all rows of a query have its weight.

    Args:
        rng: Draws them.
        queries: (n,), of each row.
        resamples: How many.
    """
    names, places = np.unique(queries, return_inverse=True)
    for weights in draw(rng, len(names), resamples):
        yield weights[:, places]


def names_queries(predictions: Columns) -> bool:
    """Whether each row names its query; older predictions do not."""
    return "query" in predictions and bool(pd.notna(predictions["query"]).all())


def weighted_scores(task: Task, frames: Sequence[Columns], weights: np.ndarray) -> np.ndarray:
    """Scores (b, runs) of a task.

    Args:
        task: The task.
        frames: Each run's predictions of the same rows in the same order; where rows belong to queries, these are named.
        weights: (b, n), how often each of n rows occurs in each of b resamples; alike for all rows of a query.
    """
    predictions = _column(frames, "prediction")
    if task.written:  # the prediction is what the text earned
        return weighted_mean(weights, predictions)
    labels = np.asarray(frames[0]["label"], dtype=float)
    predictions = np.where(np.isnan(predictions), UNANSWERED, predictions)
    confidence = _column(frames, "confidence") if task.needs_confidence else predictions
    queries = np.asarray(frames[0]["query"]) if task.query_column else None
    return weighted_task_score(task, weights, Rows(labels, predictions, confidence, queries, task.scale[0]))


def weighted_task_score(task: Task, weights: np.ndarray, rows: Rows) -> np.ndarray:
    """The mean of the task's metrics (b, runs).

    Args:
        task: The task.
        weights: (b, n), as in :func:`weighted_scores`.
        rows: Of several runs at once: predictions and confidence are (n, runs).
    """
    scores = []
    for name in task.metrics:
        metric = OF_LABELS[name]
        if metric.by_query:
            scores.append(_weighted_by_query(metric.by_query, weights, rows))
        else:
            judged = rows.confidence if metric.confidence else rows.predictions
            assert metric.weighted is not None and judged is not None, f"{name} lacks what it needs"
            scores.append(metric.weighted(weights, rows.labels[:, None], judged))
    return np.mean(scores, axis=0)


def _weighted_by_query(by_query: Callable[[Rows], pd.Series], weights: np.ndarray, rows: Rows) -> np.ndarray:
    """The mean over queries (b, runs), by the weights of these."""
    by_run = pd.concat([by_query(replace(rows, predictions=predictions)) for predictions in rows.predictions.T], axis=1)
    first = pd.Series(range(len(rows.labels))).groupby(rows.queries).first()  # a row of each query, which has its weight
    drawn = weights[:, first[by_run.index]]
    return ratio(drawn @ by_run.to_numpy(), drawn.sum(1, keepdims=True))


def _column(frames: Sequence[Columns], name: str) -> np.ndarray:
    return np.stack([np.asarray(frame[name], dtype=float) for frame in frames], axis=1)

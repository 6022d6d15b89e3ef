"""Scores of many resamples of the scored rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmarks.metrics.base import weighted_mean
from benchmarks.metrics.registry import OF_LABELS
from benchmarks.suites.spec import Task

UNANSWERED = -1  # equals no class
AT_ONCE = 4_000_000  # weights held in memory


def draw(rng: np.random.Generator, rows: int, resamples: int) -> Iterator[np.ndarray]:
    """Weights of resamples with replacement, as large as the sample, in parts."""
    part = max(AT_ONCE // rows, 1)
    for start in range(0, resamples, part):
        count = min(part, resamples - start)
        places = rng.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(places.ravel(), minlength=count * rows).reshape(count, rows).astype(float)


def weighted_scores(task: Task, frames: Sequence[pd.DataFrame], weights: np.ndarray) -> np.ndarray:
    """Scores (b, runs) of a task whose rows belong to no queries.

    Args:
        task: The task.
        frames: Each run's predictions of the same rows in the same order.
        weights: (b, n), how often each of n rows occurs in each of b resamples.
    """
    predictions = _column(frames, "prediction")
    if task.written:  # the prediction is what the text earned
        return weighted_mean(weights, predictions)
    labels = frames[0]["label"].to_numpy(dtype=float)
    predictions = np.where(np.isnan(predictions), UNANSWERED, predictions)
    confidence = _column(frames, "confidence") if task.needs_confidence else predictions
    return weighted_task_score(task, weights, labels, predictions, confidence)


def weighted_task_score(
    task: Task, weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """The mean of the task's metrics (b, runs): weights (b, n), labels (n,), predictions and confidence (n, runs)."""
    scores = []
    for name in task.metrics:
        metric = OF_LABELS[name]
        assert metric.weighted is not None, f"{name} is resampled by whole queries"
        scores.append(metric.weighted(weights, labels[:, None], confidence if metric.confidence else predictions))
    return np.mean(scores, axis=0)


def _column(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    return np.stack([frame[name].to_numpy(dtype=float) for frame in frames], axis=1)

"""Scores of many resamples of the scored rows at once.

Weights (b, n) say how often each of n rows occurs in each of b resamples; with weights of 1 every function gives what
``benchmarks.scoring.metrics`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

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
    """Scores (b, runs) of a task; frames: each run's predictions of the same rows in the same order."""
    predictions = _column(frames, "prediction")
    if task.written:  # the prediction is what the text earned
        return _mean(weights, predictions)
    labels = frames[0]["label"].to_numpy(dtype=float)
    predictions = np.where(np.isnan(predictions), UNANSWERED, predictions)
    values = []
    for metric in task.metrics:
        judged = _column(frames, "confidence") if metric == "average_precision" else predictions
        values.append(WEIGHTED[metric](weights, labels[:, None], judged))
    return np.mean(values, axis=0)


def _column(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    return np.stack([frame[name].to_numpy(dtype=float) for frame in frames], axis=1)


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return weights @ values / weights.sum(1, keepdims=True)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where it is not defined."""
    defined = below > 1e-12
    return np.where(defined, above / np.where(defined, below, 1), 0.0)


# Weights (b, n), labels (n, 1) and predictions (n, runs) make scores (b, runs).


def accuracy(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return _mean(weights, labels == predictions)


def f1(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of class 1."""
    both = weights @ ((labels == 1) & (predictions == 1))
    return _ratio(2 * both, weights @ (labels == 1) + weights @ (predictions == 1))


def matthews(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """R_K of Gorodkin (2004), as scikit-learn has it."""
    total, right = weights.sum(1, keepdims=True), weights @ (labels == predictions)
    classes = np.union1d(labels, predictions)
    true = np.stack([weights @ (labels == c) for c in classes])
    said = np.stack([weights @ (predictions == c) for c in classes])
    spread = (total**2 - (said**2).sum(0)) * (total**2 - (true**2).sum(0))
    return _ratio(right * total - (true * said).sum(0), np.sqrt(np.maximum(spread, 0)))


def pearson(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    x, y = labels - labels.mean(), predictions - predictions.mean(0)  # against cancellation
    total, sum_x, sum_y = weights.sum(1, keepdims=True), weights @ x, weights @ y
    spread = (weights @ x**2 - sum_x**2 / total) * (weights @ y**2 - sum_y**2 / total)
    return _ratio(weights @ (x * y) - sum_x * sum_y / total, np.sqrt(np.maximum(spread, 0)))


def spearman(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of ranks: each drawn row has one, and their mean is the same for labels and predictions."""
    middle = (weights.sum(1, keepdims=True) + 1) / 2
    x = _ranks(weights, labels[:, 0]) - middle
    weighted, spread = weights * x, (weights * x * x).sum(1)
    found = []
    for values in predictions.T:
        y = _ranks(weights, values) - middle
        found.append(_ratio((weighted * y).sum(1), np.sqrt(spread * (weights * y * y).sum(1))))
    return np.stack(found, axis=1)


def quadratic_kappa(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """1 - sum w O / sum w E with w = (i - j)^2, of grades rounded to whole numbers."""
    x, y = np.round(labels), np.round(predictions)
    total = weights.sum(1, keepdims=True)
    chance = (weights @ x**2 + weights @ y**2) - 2 * (weights @ x) * (weights @ y) / total
    return np.where(chance > 1e-12, 1 - _ratio(weights @ (x - y) ** 2, chance), 0.0)


def average_precision(weights: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Sum over thresholds of precision times the recall gained there; 0 where no row is of class 1."""
    scores = []
    for values in confidence.T:
        order = np.argsort(-values, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # equal confidences are one threshold
        drawn = weights[:, order]
        found = np.cumsum(drawn * (labels[order, 0] == 1), axis=1)[:, ends]
        seen = np.cumsum(drawn, axis=1)[:, ends]
        gained = np.diff(found, axis=1, prepend=0)
        scores.append(_ratio((gained * _ratio(found, seen)).sum(1), found[:, -1]))
    return np.stack(scores, axis=1)


def _ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean rank (b, n) of each row in each resample, equal values sharing theirs."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, group]


WEIGHTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "quadratic_kappa": quadratic_kappa,
    "average_precision": average_precision,
}

"""Metrics of classes.

Libraries are imported where they are used: reading a suite needs to know what metrics need, not to score.
"""

from __future__ import annotations

import numpy as np

from benchmarks.metrics.base import LabelMetric, Rows, ratio, weighted_mean


def accuracy(rows: Rows) -> float:
    """The share of right answers."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(rows.labels, rows.predictions))


def weighted_accuracy(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """:func:`accuracy` of many resamples, as :class:`LabelMetric` says."""
    return weighted_mean(weights, labels == predictions)


def f1(rows: Rows) -> float:
    """Of class 1; 0 where it is neither there nor predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(rows.labels == 1, rows.predictions == 1, zero_division=0))


def weighted_f1(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """:func:`f1` of many resamples, as :class:`LabelMetric` says."""
    both = weights @ ((labels == 1) & (predictions == 1))
    return ratio(2 * both, weights @ (labels == 1) + weights @ (predictions == 1))


def matthews(rows: Rows) -> float:
    """Matthews' correlation; of more than two classes R_K of Gorodkin (2004)."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(rows.labels, rows.predictions))


def weighted_matthews(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """:func:`matthews` of many resamples, as :class:`LabelMetric` says."""
    total, right = weights.sum(1, keepdims=True), weights @ (labels == predictions)
    classes = np.union1d(labels, predictions)
    true = np.stack([weights @ (labels == c) for c in classes])
    said = np.stack([weights @ (predictions == c) for c in classes])
    spread = (total**2 - (said**2).sum(0)) * (total**2 - (true**2).sum(0))
    return ratio(right * total - (true * said).sum(0), np.sqrt(np.maximum(spread, 0)))


def average_precision(rows: Rows) -> float:
    """Of ranking all rows by the confidence in class 1."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(rows.labels, rows.confidence))


def weighted_average_precision(weights: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Sum over thresholds of precision times the recall gained there; 0 where no row is of class 1."""
    scores = []
    for values in confidence.T:
        order = np.argsort(-values, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # equal confidences are one threshold
        drawn = weights[:, order]
        true = np.cumsum(drawn * (labels[order, 0] == 1), axis=1)[:, ends]
        seen = np.cumsum(drawn, axis=1)[:, ends]
        gained = np.diff(true, axis=1, prepend=0)
        scores.append(ratio((gained * ratio(true, seen)).sum(1), true[:, -1]))
    return np.stack(scores, axis=1)


CLASS_METRICS = (
    LabelMetric(name="accuracy", target="class", score=accuracy, weighted=weighted_accuracy),
    LabelMetric(name="f1", target="class", classes=2, score=f1, weighted=weighted_f1),
    LabelMetric(name="matthews", target="class", score=matthews, weighted=weighted_matthews),
    LabelMetric(
        name="average_precision",
        target="class",
        classes=2,
        confidence=True,
        score=average_precision,
        weighted=weighted_average_precision,
    ),
)

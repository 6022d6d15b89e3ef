"""Metrics by name, the score of a task, and its sampling error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from benchmarks.suite import Task

Metric = Callable[[np.ndarray, np.ndarray], float]

BOOTSTRAP_RESAMPLES = 200


def _correlation(kind: Callable) -> Metric:
    """A correlation that is 0 where one side is constant and it is not defined."""

    def metric(labels: np.ndarray, predictions: np.ndarray) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return 0.0
        return float(kind(labels, predictions).statistic)

    return metric


METRICS: dict[str, Metric] = {
    "accuracy": lambda labels, predictions: float(sk.accuracy_score(labels, predictions)),
    "f1": lambda labels, predictions: float(sk.f1_score(labels, predictions, zero_division=0)),
    "matthews": lambda labels, predictions: float(sk.matthews_corrcoef(labels, predictions)),
    "pearson": _correlation(stats.pearsonr),
    "spearman": _correlation(stats.spearmanr),
}


def task_score(task: Task, labels: np.ndarray, predictions: np.ndarray) -> float:
    """The mean of the task's metrics, in their own unit (1 is perfect)."""
    return float(np.mean([METRICS[name](labels, predictions) for name in task.metrics]))


def evaluate_task(task: Task, labels: np.ndarray, predictions: np.ndarray, train_labels: np.ndarray) -> dict:
    """All that is said of one task: metrics, score, its bootstrap standard error over rows, the majority answer's score.

    The majority answer is the commonest class, or the mean grade, of the training rows.
    """
    majority = np.mean(train_labels) if task.graded else np.bincount(train_labels.astype(int)).argmax()
    rng = np.random.default_rng(0)
    resamples = (rng.integers(len(labels), size=len(labels)) for _ in range(BOOTSTRAP_RESAMPLES))
    return {
        "metrics": {name: METRICS[name](labels, predictions) for name in task.metrics},
        "score": task_score(task, labels, predictions),
        "standard_error": float(np.std([task_score(task, labels[rows], predictions[rows]) for rows in resamples], ddof=1)),
        "majority": task_score(task, labels, np.full_like(predictions, majority)),
        "rows": len(labels),
        "train_rows": len(train_labels),
    }

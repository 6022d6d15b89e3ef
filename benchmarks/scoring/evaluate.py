"""The score of a task, its sampling error, and what giving the commonest answer would score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.metrics.base import References, Rows
from benchmarks.metrics.registry import OF_LABELS, OF_TEXTS
from benchmarks.records.schema import TaskScore
from benchmarks.scoring.resampling import UNANSWERED, draw, draw_queries, weighted_task_score
from benchmarks.suites.spec import Task

BOOTSTRAP_RESAMPLES = 200


def task_score(task: Task, rows: Rows) -> float:
    """The mean of the task's metrics, in their own unit (1 is perfect)."""
    return float(np.mean([OF_LABELS[name].score(rows) for name in task.metrics]))


def evaluate_labels(task: Task, rows: Rows, train_labels: np.ndarray) -> TaskScore:
    """All that is said of a task of classes or grades: metrics, score, its bootstrap standard error, the majority baseline.

    A resample draws rows, or whole queries where rows belong to queries. The majority baseline gives the commonest class, or
    the mean grade, of the training rows. A prediction of NaN is no answer: wrong, and counted.
    """
    unanswered = np.isnan(rows.predictions)
    predictions = np.where(unanswered, UNANSWERED, rows.predictions)
    rows = replace(rows, predictions=predictions)
    majority = np.mean(train_labels) if task.graded else np.bincount(train_labels.astype(int)).argmax()
    share = None if rows.confidence is None else np.full_like(rows.confidence, np.mean(train_labels))
    constant = replace(rows, predictions=np.full_like(predictions, majority), confidence=share)
    return TaskScore(
        metrics={name: OF_LABELS[name].score(rows) for name in (*task.metrics, *task.more_metrics)},
        score=task_score(task, rows),
        standard_error=float(np.std(_resampled_scores(task, rows), ddof=1)),
        majority=task_score(task, constant),
        rows=len(rows.labels),
        train_rows=len(train_labels),
        unanswered=int(unanswered.sum()) if task.choice or task.pictures else None,
    )


def _resampled_scores(task: Task, rows: Rows) -> np.ndarray:
    """Scores of BOOTSTRAP_RESAMPLES resamples of rows or queries."""
    rng, columns = np.random.default_rng(0), replace(rows, predictions=rows.predictions[:, None])
    if rows.confidence is not None:
        columns = replace(columns, confidence=rows.confidence[:, None])
    if rows.queries is None:
        drawn = draw(rng, len(rows.labels), BOOTSTRAP_RESAMPLES)
    else:
        drawn = draw_queries(rng, rows.queries, BOOTSTRAP_RESAMPLES)
    return np.concatenate([weighted_task_score(task, weights, columns) for weights in drawn])[:, 0]


def points(task: Task, texts: Sequence[str], references: References) -> np.ndarray:
    """What each text earns (n,): the mean of the task's metrics."""
    return np.mean([OF_TEXTS[name].points(texts, references) for name in task.metrics], axis=0)


def evaluate_texts(task: Task, texts: Sequence[str], references: References, learnt: References) -> TaskScore:
    """All that is said of a task with free-form answers, as :func:`evaluate_labels` says it of others.

    The majority baseline gives the commonest of the answers learnt; the standard error draws samples, with the points they
    have.
    """
    by_metric = {name: OF_TEXTS[name].points(texts, references) for name in (*task.metrics, *task.more_metrics)}
    own = np.mean([by_metric[name] for name in task.metrics], axis=0)
    commonest = Counter(answer for answers in learnt for answer in answers).most_common(1)[0][0]
    rng = np.random.default_rng(0)
    drawn = own[rng.integers(len(own), size=(BOOTSTRAP_RESAMPLES, len(own)))].mean(1)
    return TaskScore(
        metrics={name: float(earned.mean()) for name, earned in by_metric.items()},
        score=float(own.mean()),
        standard_error=float(drawn.std(ddof=1)),
        majority=float(points(task, [commonest] * len(references), references).mean()),
        rows=len(references),
        train_rows=len(learnt),
    )

"""Metrics by name, the score of a task, and its sampling error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics as sk

from benchmarks.records.schema import TaskScore
from benchmarks.scoring.resampling import UNANSWERED, WEIGHTED, draw
from benchmarks.suites.spec import Task

BOOTSTRAP_RESAMPLES = 200


@dataclass(frozen=True)
class Scored:
    """Scored rows of a task: label, prediction, how sure the model is of the last class, and the query of each row.

    confidence and queries are None where the task has no use for them.
    """

    task: Task
    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray | None = None
    queries: np.ndarray | None = None

    def take(self, rows: np.ndarray, queries: np.ndarray | None) -> Scored:
        """Some of the rows, with new names for their queries."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return Scored(self.task, self.labels[rows], self.predictions[rows], confidence, queries)


Metric = Callable[[Scored], float]


def _correlation(kind: Callable) -> Metric:
    """A correlation that is 0 where one side is constant and it is not defined."""

    def metric(rows: Scored) -> float:
        if np.ptp(rows.labels) == 0 or np.ptp(rows.predictions) == 0:
            return 0.0
        return float(kind(rows.labels, rows.predictions).statistic)

    return metric


def _quadratic_kappa(rows: Scored) -> float:
    """Cohen's kappa with quadratic weights, of grades rounded to whole numbers; 0 where it is not defined."""
    labels, predictions = (np.round(values).astype(int) for values in (rows.labels, rows.predictions))
    both = np.concatenate([labels, predictions])
    if np.ptp(both) == 0:
        return 0.0
    grades = np.arange(both.min(), both.max() + 1)  # with those that do not occur: weights are of places in this list
    return float(sk.cohen_kappa_score(labels, predictions, labels=grades, weights="quadratic"))


def _ndcg(rows: Scored) -> float:
    """Mean over queries of the normalised discounted cumulative gain of ranking by the predicted grade.

    The gain of a row is its label above the lowest grade. Rows of equal predictions share their gains (McSherry and Najork,
    2008), as in scikit-learn. Queries whose rows are all equally relevant tell nothing and are left out; 0 where none is
    left.
    """
    gain = rows.labels - rows.task.scale[0]
    frame = pd.DataFrame({"query": rows.queries, "gain": gain, "prediction": rows.predictions})
    gains = frame.groupby("query")["gain"]
    frame = frame[gains.transform("max") > gains.transform("min")]
    if frame.empty:
        return 0.0
    shared = frame.groupby(["query", "prediction"])["gain"].transform("mean")
    found = _discounted(frame["query"], frame["prediction"], shared)
    return float((found / _discounted(frame["query"], frame["gain"], frame["gain"])).mean())


def _discounted(queries: pd.Series, by: pd.Series, gain: pd.Series) -> pd.Series:
    """Discounted cumulative gain of each query, its rows in falling order of ``by``."""
    place = by.groupby(queries).rank(method="first", ascending=False)
    return (gain / np.log2(place + 1)).groupby(queries).sum()


METRICS: dict[str, Metric] = {
    "accuracy": lambda rows: float(sk.accuracy_score(rows.labels, rows.predictions)),
    "f1": lambda rows: float(sk.f1_score(rows.labels, rows.predictions, zero_division=0)),
    "matthews": lambda rows: float(sk.matthews_corrcoef(rows.labels, rows.predictions)),
    "average_precision": lambda rows: float(sk.average_precision_score(rows.labels, rows.confidence)),
    "pearson": _correlation(stats.pearsonr),
    "spearman": _correlation(stats.spearmanr),
    "quadratic_kappa": _quadratic_kappa,
    "ndcg": _ndcg,
}


def task_score(rows: Scored) -> float:
    """The mean of the task's metrics, in their own unit (1 is perfect)."""
    return float(np.mean([METRICS[name](rows) for name in rows.task.metrics]))


def evaluate_task(rows: Scored, train_labels: np.ndarray) -> TaskScore:
    """All that is said of one task: metrics, score, its bootstrap standard error, the majority answer's score.

    A resample draws rows, or whole queries where rows belong to queries. The majority answer is the commonest class, or the
    mean grade, of the training rows. A prediction of NaN is no answer: wrong, and counted.
    """
    task, unanswered = rows.task, np.isnan(rows.predictions)
    predictions = np.where(unanswered, UNANSWERED, rows.predictions)
    rows = replace(rows, predictions=predictions)
    majority = np.mean(train_labels) if task.graded else np.bincount(train_labels.astype(int)).argmax()
    share = None if rows.confidence is None else np.full_like(rows.confidence, np.mean(train_labels))
    constant = replace(rows, predictions=np.full_like(predictions, majority), confidence=share)
    return TaskScore(
        metrics={name: METRICS[name](rows) for name in task.metrics},
        score=task_score(rows),
        standard_error=float(np.std(_resampled_scores(rows), ddof=1)),
        majority=task_score(constant),
        rows=len(rows.labels),
        train_rows=len(train_labels),
        unanswered=int(unanswered.sum()) if task.choice or task.pictures else None,
    )


def _resampled_scores(rows: Scored) -> np.ndarray:
    """Scores of BOOTSTRAP_RESAMPLES resamples, all at once but for ranking metrics."""
    if rows.queries is not None:
        return np.array([task_score(resample) for resample in _of_queries(rows)])
    labels, parts = rows.labels[:, None], []
    for weights in draw(np.random.default_rng(0), len(labels), BOOTSTRAP_RESAMPLES):
        scores = [WEIGHTED[name](weights, labels, _judged(rows, name)[:, None]) for name in rows.task.metrics]
        parts.append(np.mean(scores, axis=0)[:, 0])
    return np.concatenate(parts)


def _judged(rows: Scored, metric: str) -> np.ndarray:
    """What a metric compares with the labels."""
    return rows.confidence if metric == "average_precision" and rows.confidence is not None else rows.predictions


def _of_queries(rows: Scored) -> Iterator[Scored]:
    """Resamples of whole queries."""
    rng = np.random.default_rng(0)
    members = list(pd.Series(range(len(rows.labels))).groupby(rows.queries).indices.values())
    for _ in range(BOOTSTRAP_RESAMPLES):
        drawn = [members[i] for i in rng.integers(len(members), size=len(members))]
        names = np.repeat(np.arange(len(drawn)), [len(own) for own in drawn])
        yield rows.take(np.concatenate(drawn), names)

"""Metrics of grades, numbers on a scale. Libraries are imported where they are used, as in ``classes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.base import LabelMetric, Rows, ratio

if TYPE_CHECKING:
    import pandas as pd


def pearson(rows: Rows) -> float:
    """Pearson's correlation; 0 where one side is constant and it is not defined."""
    from scipy.stats import pearsonr

    return 0.0 if _constant(rows) else float(pearsonr(rows.labels, rows.predictions).statistic)


def weighted_pearson(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """:func:`pearson` of many resamples, as :class:`benchmarks.metrics.base.LabelMetric` says."""
    x, y = labels - labels.mean(), predictions - predictions.mean(0)  # against cancellation
    total, sum_x, sum_y = weights.sum(1, keepdims=True), weights @ x, weights @ y
    spread = (weights @ x**2 - sum_x**2 / total) * (weights @ y**2 - sum_y**2 / total)
    return ratio(weights @ (x * y) - sum_x * sum_y / total, np.sqrt(np.maximum(spread, 0)))


def spearman(rows: Rows) -> float:
    """Pearson's correlation of the ranks; 0 where one side is constant and it is not defined."""
    from scipy.stats import spearmanr

    return 0.0 if _constant(rows) else float(spearmanr(rows.labels, rows.predictions).statistic)


def _constant(rows: Rows) -> bool:
    return bool(np.ptp(rows.labels) == 0 or np.ptp(rows.predictions) == 0)


def weighted_spearman(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of ranks: each drawn row has one, and their mean is the same for labels and predictions."""
    middle = (weights.sum(1, keepdims=True) + 1) / 2
    x = _ranks(weights, labels[:, 0]) - middle
    weighted = weights * x
    spread = np.einsum("bn,bn->b", weighted, x)
    found = []
    for values in predictions.T:
        y = _ranks(weights, values) - middle
        both, own = np.einsum("bn,bn->b", weighted, y), np.einsum("bn,bn,bn->b", weights, y, y)
        found.append(ratio(both, np.sqrt(spread * own)))
    return np.stack(found, axis=1)


def _ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean rank (b, n) of each row in each resample, equal values sharing theirs."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, group]


def quadratic_kappa(rows: Rows) -> float:
    """Cohen's kappa with quadratic weights, of grades rounded to whole numbers; 0 where it is not defined."""
    from sklearn.metrics import cohen_kappa_score

    labels, predictions = (np.round(values).astype(int) for values in (rows.labels, rows.predictions))
    both = np.concatenate([labels, predictions])
    if np.ptp(both) == 0:
        return 0.0
    grades = np.arange(both.min(), both.max() + 1)  # with those that do not occur: weights are of places in this list
    return float(cohen_kappa_score(labels, predictions, labels=grades, weights="quadratic"))


def weighted_quadratic_kappa(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """1 - sum w O / sum w E with w = (i - j)^2, of grades rounded to whole numbers."""
    x, y = np.round(labels), np.round(predictions)
    total = weights.sum(1, keepdims=True)
    chance = (weights @ x**2 + weights @ y**2) - 2 * (weights @ x) * (weights @ y) / total
    return np.where(chance > 1e-12, 1 - ratio(weights @ (x - y) ** 2, chance), 0.0)


def ndcg(rows: Rows) -> float:
    """The mean of :func:`query_ndcg`; 0 where no query counts."""
    by_query = query_ndcg(rows)
    return float(by_query.mean()) if len(by_query) else 0.0


def query_ndcg(rows: Rows) -> pd.Series:
    """By query the normalised discounted cumulative gain of ranking by the predicted grade.

    The gain of a row is its label above the lowest grade. Rows of equal predictions share their gains (McSherry and Najork,
    2008), as in scikit-learn. Queries whose rows are all equally relevant tell nothing and are left out.
    """
    import pandas as pd

    gain = rows.labels - rows.lowest
    frame = pd.DataFrame({"query": rows.queries, "gain": gain, "prediction": rows.predictions})
    gains = frame.groupby("query")["gain"]
    frame = frame[gains.transform("max") > gains.transform("min")]
    shared = frame.groupby(["query", "prediction"])["gain"].transform("mean")
    found = _discounted(frame["query"], frame["prediction"], shared)
    return found / _discounted(frame["query"], frame["gain"], frame["gain"])


def _discounted(queries: pd.Series, by: pd.Series, gain: pd.Series) -> pd.Series:
    """Discounted cumulative gain of each query, its rows in falling order of ``by``."""
    place = by.groupby(queries).rank(method="first", ascending=False)
    return (gain / np.log2(place + 1)).groupby(queries).sum()


GRADE_METRICS = (
    LabelMetric(name="pearson", target="grade", score=pearson, weighted=weighted_pearson),
    LabelMetric(name="spearman", target="grade", score=spearman, weighted=weighted_spearman),
    LabelMetric(name="quadratic_kappa", target="grade", score=quadratic_kappa, weighted=weighted_quadratic_kappa),
    LabelMetric(name="ndcg", target="grade", queries=True, score=ndcg, by_query=query_ndcg),
)

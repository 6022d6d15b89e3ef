"""Scores of drawn queries, against scikit-learn and SciPy on the drawn rows themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from benchmarks.scoring.resampling import draw_queries, names_queries, weighted_scores
from benchmarks.suites import find_suite

(HOME_DEPOT,) = find_suite("ads").select(["home_depot"])  # Spearman's correlation and NDCG


def frame(seed: int) -> pd.DataFrame:
    """120 rows of 15 queries of different sizes, with ties; one query's rows are all equally relevant."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed)
    queries = np.sort(shared.integers(15, size=120))
    labels = np.where(queries == 3, 2.0, shared.integers(1, 4, size=120))
    predictions = np.round(labels + own.normal(size=120), 1)
    return pd.DataFrame({"label": labels, "prediction": predictions, "query": [f"q{query}" for query in queries]})


def plainly(own: pd.DataFrame, drawn: list[str]) -> float:
    """The task's score on the rows of these queries, each as often as it was drawn."""
    parts = [own[own["query"] == query] for query in drawn]
    rows = pd.concat(parts)
    telling = [part for part in parts if part["label"].nunique() > 1]
    ndcg = np.mean([ndcg_score([part["label"] - 1], [part["prediction"]]) for part in telling])
    return float((spearmanr(rows["label"], rows["prediction"]).statistic + ndcg) / 2)


def test_scores_of_drawn_queries_are_those_of_their_rows() -> None:
    frames = [frame(1), frame(2)]
    queries = frames[0]["query"].to_numpy()
    (weights,) = draw_queries(np.random.default_rng(5), queries, 20)
    assert weights.shape == (20, 120) and all(len(set(weights[0, queries == name])) == 1 for name in set(queries))
    found = weighted_scores(HOME_DEPOT, frames, weights)
    rng, names = np.random.default_rng(5), np.unique(queries)
    for scores in found:
        drawn = [names[i] for i in rng.integers(len(names), size=len(names))]
        assert scores == pytest.approx([plainly(own, drawn) for own in frames], abs=1e-9)
    assert len(np.unique(found)) == 40


def test_queries_are_named_by_all_rows_or_not_at_all() -> None:
    own = frame(1)
    assert names_queries(own) and not names_queries(own.drop(columns="query"))
    assert not names_queries(own.assign(query=own["query"].where(own.index > 0)))

"""What a metric is: how it scores, how it scores many resamples at once, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Target = Literal["class", "grade", "text"]  # what rows are labelled with
References = Sequence[Sequence[str]]  # the right answers of each row, any of which will do


@dataclass(frozen=True)
class Rows:
    """Scored rows: their labels and predictions (n,), and where a metric needs them the confidence and the query of each.

    confidence: the probability of the last class. lowest: the lowest grade there is.
    """

    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray | None = None
    queries: np.ndarray | None = None
    lowest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What tasks, suites and reports ask of any metric.

    Attributes:
        name: By which tasks and records know it.
        target: What it scores: answers that are a "class", a "grade" or a "text".
        classes: How many classes it is for; None for any number.
        confidence: Whether it compares the confidence, not the prediction, with the labels.
        queries: Whether it ranks the rows of each query.
        of_all: Whether rows have a score together alone, none of their own to be drawn again: it is told beside a score.
    """

    name: str
    target: Target
    classes: int | None = None
    confidence: bool = False
    queries: bool = False
    of_all: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelMetric(Metric):
    """A metric of classes or grades.

    Attributes:
        score: Of rows; 1 is perfect.
        weighted: The same of many resamples of several runs at once. Weights (b, n) say how often each of n rows occurs in
            each of b resamples; with labels (n, 1) and what is compared with them (n, runs) they make scores (b, runs).
        by_query: In its place where ``score`` is the mean over queries: the score of each query that counts, by its name.
    """

    score: Callable[[Rows], float]
    weighted: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    by_query: Callable[[Rows], pd.Series] | None = None


@dataclass(frozen=True, kw_only=True)
class TextMetric(Metric):
    """A metric of answers in words.

    Attributes:
        points: What each text earns (n,), 1 for a perfect one (CIDEr: up to 10); their mean is the score, weighted or not.
            Of a metric of all texts together: their one score (1,).
    """

    points: Callable[[Sequence[str], References], np.ndarray]
    target: Target = "text"


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(b, runs) from weights (b, n) and values (n, runs)."""
    return weights @ values / weights.sum(1, keepdims=True)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where it is not defined."""
    defined = below > 1e-12
    return np.where(defined, above / np.where(defined, below, 1), 0.0)

"""The metrics by name: of labels, of texts, and all of them."""

from __future__ import annotations

from benchmarks.metrics.base import Metric
from benchmarks.metrics.classes import CLASS_METRICS
from benchmarks.metrics.grades import GRADE_METRICS
from benchmarks.metrics.texts import TEXT_METRICS

OF_LABELS = {metric.name: metric for metric in (*CLASS_METRICS, *GRADE_METRICS)}
OF_TEXTS = {metric.name: metric for metric in TEXT_METRICS}
METRICS: dict[str, Metric] = {**OF_LABELS, **OF_TEXTS}

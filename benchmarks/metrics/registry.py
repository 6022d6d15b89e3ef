"""The metrics by name: of labels, of texts, and all of them."""

from __future__ import annotations

from benchmarks.metrics.base import LabelMetric, Metric, TextMetric
from benchmarks.metrics.classes import CLASS_METRICS
from benchmarks.metrics.grades import GRADE_METRICS
from benchmarks.metrics.texts import TEXT_METRICS
from mtl_lora.errors import InvalidInput

OF_LABELS = {metric.name: metric for metric in (*CLASS_METRICS, *GRADE_METRICS)}
OF_TEXTS = {metric.name: metric for metric in TEXT_METRICS}
METRICS: dict[str, Metric] = {**OF_LABELS, **OF_TEXTS}


def register_metric(metric: LabelMetric | TextMetric) -> None:
    """Make a metric of a user's own available by its name.

    Raises:
        InvalidInput: Another one has it, or rows cannot be drawn anew for its standard error.
    """
    if metric.name in METRICS:
        raise InvalidInput(f"there is a metric {metric.name}: name yours otherwise")
    if isinstance(metric, LabelMetric):
        if metric.weighted is None and metric.by_query is None:
            raise InvalidInput(f"metric {metric.name} has neither weighted nor by_query, which standard errors need")
        OF_LABELS[metric.name] = metric
    else:
        OF_TEXTS[metric.name] = metric
    METRICS[metric.name] = metric

"""What the fields of a task must be beside each other."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from benchmarks.metrics.registry import METRICS
from benchmarks.suites.task import Cloze, Task

NAME = r"\w[\w.-]*"  # of tasks and suites: they are in lists with commas, and in names of files


def allowed(task: Task, field: str) -> list[str]:
    """The metrics that suit the task, in "metrics" or "more_metrics"."""
    return [name for name in METRICS if not _unfit(task, name, field)]


def _unfit(task: Task, name: str, field: str) -> str:
    """Why a metric does not suit the task; nothing where it does."""
    if name not in METRICS:
        return f"{name!r} is unknown"
    metric = METRICS[name]
    if metric.target != task.target:
        return f"{name} scores a {metric.target}, not a {task.target}"
    if metric.classes not in (None, len(task.labels)):
        return f"{name} is for {metric.classes} classes, not {len(task.labels)}"
    if metric.confidence and (task.choice or task.pictures):
        return f"{name} needs a confidence, which comes with classes that heads tell apart"
    if metric.queries and not task.query_column:
        return f"{name} ranks the rows of a query: give query_column"
    if metric.of_all and field == "metrics":
        return f"{name} scores all texts together: name it in more_metrics"
    return ""


def contradictions(task: Task) -> Iterator[tuple[str, str]]:
    """Fields that are wrong by themselves or beside the others, and why."""
    if not re.fullmatch(NAME, task.name) or task.name == "mean":
        yield "name", f"{task.name!r} is not letters, digits and _ . - between them, or is the mean of all tasks"
    for field in ("inputs", "labels", "metrics", "more_metrics"):
        if isinstance(value := getattr(task, field), str):
            yield field, f"{value!r} is not a list of names"
    if not task.metrics:
        yield "metrics", f"there is none; allowed: {', '.join(allowed(task, 'metrics'))}"
    for field in ("metrics", "more_metrics"):
        for name in getattr(task, field):
            if why := _unfit(task, name, field):
                yield field, f"{why}; allowed: {', '.join(allowed(task, field))}"
    yield from _answer_contradictions(task)
    yield from _input_contradictions(task)
    if task.split_by_query and not task.query_column:
        yield "split_by_query", "by which? give query_column"
    if task.test_split == task.train_split and not task.split_by_query:
        yield "test_split", f"{task.test_split!r} is what is trained on"
    if task.conflict is not None and not 0 <= task.conflict <= 1:
        yield "conflict", f"{task.conflict:g} is not from 0 to 1"


def _answer_contradictions(task: Task) -> Iterator[tuple[str, str]]:
    low, high = task.scale
    if task.written and task.labels:
        yield "labels", "are of classes, and the answers are free-form"
    if len(task.labels) == 1:
        yield "labels", "one alone leaves nothing to tell apart"
    if twice := [label for label in task.labels if task.labels.count(label) > 1]:
        yield "labels", f"{twice[0]!r} is there twice"
    if task.target != "grade" and task.scale != (0.0, 1.0):
        yield "scale", f"is of grades, and {'the answers are free-form' if task.written else 'this task has labels'}"
    if not (low < high and math.isfinite(high - low)):
        yield "scale", f"{task.scale} does not go from low to high"
    if task.choice and not task.labels:
        yield "choice", "give labels, the names of the options"
    if task.choice and (task.pictures or task.picture_column):
        yield "choice", "its options are texts, read without pictures"
    if task.cloze != Cloze() and not task.choice:
        yield "cloze", "is for multiple choice: give choice"
    if len(task.cloze.options) not in (0, len(task.labels)):
        yield "cloze", f"has {len(task.cloze.options)} options for {len(task.labels)} labels"
    if not task.cloze.blank and "{question}" not in task.cloze.context:
        yield "cloze", "its context has no {question}"
    if task.captions and not task.written:
        yield "captions", "are free-form answers: give written"
    if task.balanced and (task.target != "class" or task.choice or task.pictures):
        yield "balanced", "is for classes that heads tell apart"


def _input_contradictions(task: Task) -> Iterator[tuple[str, str]]:
    most, least = (1 if task.choice or task.pictures else 2), (0 if task.pictures else 1)
    if not least <= len(task.inputs) <= most:
        read = "one, which lists the options, is" if task.choice else "one or two are"
        yield "inputs", f"{len(task.inputs)} columns; {'none or one is' if task.pictures else read} read"
    if task.pictures and task.target == "grade":
        yield "pictures", "answers to them are words: give labels or written"
    if task.pictures and task.picture_column:
        yield "picture_column", "the picture is read with pictures already"
    if task.captions and not task.pictures:
        yield "captions", "are of pictures: give pictures"
    if task.prompt != "{text}" and not (task.pictures or task.written):
        yield "prompt", "is read where answers are words"
    if task.inputs and "{text}" not in task.prompt:
        yield "prompt", "has no {text}, so inputs would not be read"
    if re.search(r"[{}]", task.prompt.replace("{text}", "")):
        yield "prompt", f"{task.prompt!r} names other than {{text}}"

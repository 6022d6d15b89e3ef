"""Tasks as data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from pydantic import ConfigDict

from benchmarks.metrics.base import Target
from benchmarks.metrics.registry import METRICS

# Fields of a task outside its definition: for readers, where its rows come from, and what a run names by itself.
UNDECIDING = ("summary", "group", "dataset", "revision", "files", "conflict")
STRICT = ConfigDict(extra="forbid")  # of what is read from a file


@dataclass(frozen=True)
class Pictures:
    """Where a task's pictures are, read through the features of a vision model.

    columns: of the task's rows; each holds a picture, or its id where ``config`` names the configuration of the data set
    (with {split} for the rows' split) whose rows in ``split`` are the pictures, their ids in column ``key``.
    """

    __pydantic_config__ = STRICT

    columns: tuple[str, ...]
    config: str | None = None
    split: str = "{split}"
    key: str = "image_id"
    image: str = "image"


@dataclass(frozen=True)
class Cloze:
    """What a language model reads where the options of multiple choice are scored by their own text.

    context: in front of an option, {question} in it. options: what is said for each label where rows do not spell their
    options out. blank: what marks, in the question, the place that the option fills; no context then.
    """

    __pydantic_config__ = STRICT

    context: str = "Question: {question}\nAnswer:"
    options: tuple[str, ...] = ()
    blank: str | None = None


@dataclass(frozen=True)
class Task:
    """One task: where its rows are, what is read, what is predicted, how it is scored.

    dataset, config, revision: of the hub, the revision pinned, "" for a folder that only a mirror can hold; or the generated
    "world" and what it calls the task. The first two may say {split}.
    files: where the data are JSON files of the GitHub repository ``dataset``: their path, with {config} and {split}. Where
    no data set is named, a file of the user's own, as ``benchmarks.sources.local_files`` reads it, with {split}; a fifth of
    the rows of a single one is scored, chosen by hash.
    inputs: up to two text columns. prompt: what a model that writes its answer reads, {text} for the first.
    pictures: read in front of the text. picture_column: of a picture that the backbone itself reads.
    labels: names of the classes 0, 1, ..; empty for a graded task, whose label is a number within ``scale``.
    written: free-form answers: the label column holds a text or several, with which what a model writes is compared.
    captions: of the answers to the same pictures each is a training row, and all of them together a scored row.
    choice: the labels name options that each row lists itself, as ``benchmarks.data.multiple_choice`` reads them.
    cloze: how such options are put to a language model as text.
    query_column: rows of a query are ranked among themselves, and no query that is scored occurs in training.
    split_by_query: the published splits share queries: only a fifth of them, chosen by hash, is scored.
    balanced: in training, rows are weighted so that every class counts alike, for all methods.
    metrics: names in ``benchmarks.metrics``; the task's score is their mean, as GLUE averages them. more_metrics: told
    beside the score.
    head: tasks that name the same head share it; None for a head of its own. group: under which tables sum tasks up.
    conflict: between the tasks, for generated data alone.
    """

    __pydantic_config__ = STRICT

    name: str
    summary: str
    dataset: str
    config: str
    revision: str
    inputs: tuple[str, ...]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    label_column: str = "label"
    files: str | None = None
    choice: bool = False
    cloze: Cloze = Cloze()
    query_column: str | None = None
    split_by_query: bool = False
    balanced: bool = False
    train_split: str = "train"
    test_split: str = "validation"
    prompt: str = "{text}"
    pictures: Pictures | None = None
    picture_column: str | None = None
    written: bool = False
    captions: bool = False
    more_metrics: tuple[str, ...] = ()
    head: str | None = None
    group: str | None = None
    conflict: float | None = None

    @cached_property
    def definition(self) -> str:
        """A hash of what decides numbers: all fields but those for readers, and where rows come from (they have a
        fingerprint).

        Fields at their default are left out, so that a field that comes later changes no hash.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        told = {name: value for name, value in values.items() if name not in UNDECIDING}
        text = json.dumps(told, sort_keys=True, default=asdict)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def local(self) -> bool:
        """Whether its rows are in files of the user's own."""
        return not self.dataset

    @property
    def one_file(self) -> bool:
        """Whether the rows to train on and the rows to score are in one file."""
        return self.local and "{split}" not in (self.files or "")

    def file(self, split: str) -> Path:
        """The user's own file that has the rows of a split."""
        return Path(str(self.files).replace("{split}", split))

    @property
    def graded(self) -> bool:
        """Whether the label is a number rather than a class or a text."""
        return not self.labels and not self.written

    @property
    def target(self) -> Target:
        """What rows are labelled with."""
        return "text" if self.written else "class" if self.labels else "grade"

    @property
    def outputs(self) -> int:
        """Outputs of this task's head."""
        return len(self.labels) or 1

    @property
    def needs_confidence(self) -> bool:
        """Whether a metric needs the model's confidence besides its answer."""
        return any(METRICS[name].confidence for name in (*self.metrics, *self.more_metrics))

    @property
    def head_name(self) -> str:
        """What tells this task's head from others."""
        return self.head or self.name

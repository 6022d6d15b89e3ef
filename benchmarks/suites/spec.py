"""Tasks and suites as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from benchmarks.metrics.registry import METRICS
from mtl_lora.errors import InvalidInput, unknown

# Fields of a task outside its definition: for readers, where its rows come from, and what a run names by itself.
UNDECIDING = ("summary", "group", "dataset", "revision", "files", "conflict")


@dataclass(frozen=True)
class Pictures:
    """Where a task's pictures are, read through the features of a vision model.

    columns: of the task's rows; each holds a picture, or its id where ``config`` names the configuration of the data set
    (with {split} for the rows' split) whose rows in ``split`` are the pictures, their ids in column ``key``.
    """

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

    context: str = "Question: {question}\nAnswer:"
    options: tuple[str, ...] = ()
    blank: str | None = None


@dataclass(frozen=True)
class Task:
    """One task: where its rows are, what is read, what is predicted, how it is scored.

    dataset, config, revision: of the hub, the revision pinned, "" for a folder that only a mirror can hold; or the generated
    "world" and what it calls the task. The first two may say {split}.
    files: where the data are JSON files of the GitHub repository ``dataset``: their path, with {config} and {split}.
    inputs: up to two text columns. prompt: what a model that writes its answer reads, {text} for the first.
    pictures: read in front of the text. picture_column: of a picture that the backbone itself reads.
    labels: names of the classes 0, 1, ..; empty for a graded task, whose label is a number within ``scale``.
    written: the label column holds answers in words, a text or several, with which what a model writes is compared.
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

    @property
    def definition(self) -> str:
        """A hash of what decides numbers: all fields but those for readers, and where rows come from (they have a
        fingerprint).

        Fields at their default are left out, so that a field that comes later changes no hash.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        told = {name: value for name, value in own.items() if name not in UNDECIDING}
        text = json.dumps(told, sort_keys=True, default=asdict)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def graded(self) -> bool:
        """Whether the label is a number rather than a class or a text."""
        return not self.labels and not self.written

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


@dataclass(frozen=True)
class Suite:
    """A named list of tasks that one model is trained on together; its score is the mean of the tasks' scores.

    preset: where none is asked for. texts: how an encoder reads the two texts of a pair, "together" or "apart".
    """

    name: str
    summary: str
    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()
    preset: str = "small"
    texts: str = "together"

    @property
    def choice(self) -> bool:
        """Whether its tasks are multiple choice; all of them or none are."""
        return self.tasks[0].choice

    @property
    def pictures(self) -> bool:
        """Whether its tasks are asked of pictures, in words; all of them or none are."""
        return self.tasks[0].pictures is not None

    def select(self, names: Sequence[str]) -> tuple[Task, ...]:
        """The tasks of these names in the suite's order; all of them where no name is given."""
        known = {task.name: task for task in self.tasks}
        for name in names:
            if name not in known:
                raise unknown(f"task of suite {self.name}", name, known)
        if len(set(names)) != len(names):
            raise InvalidInput(f"a task is named twice in {', '.join(names)}")
        return tuple(task for task in self.tasks if not names or task.name in names)

    @property
    def conflict(self) -> float | None:
        """The conflict between the tasks, where it can be set."""
        return self.tasks[0].conflict

    def with_conflict(self, conflict: float) -> Suite:
        """The same tasks at another conflict; InvalidInput where the data are what they are."""
        if self.conflict is None:
            raise InvalidInput(f"the conflict of suite {self.name} cannot be set: its data are not generated")
        if not 0 <= conflict <= 1:
            raise InvalidInput(f"conflict must be from 0 to 1, not {conflict:g}")
        return replace(self, tasks=tuple(replace(task, conflict=conflict) for task in self.tasks))

"""What a suite is; suite files import their pieces from here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks.suites.rules import NAME, contradictions
from benchmarks.suites.task import STRICT, Cloze, Pictures, Task
from mtl_lora.errors import InvalidInput, unknown

__all__ = ["Cloze", "Pictures", "Suite", "Task"]
TEXTS = ("together", "apart")


@dataclass(frozen=True)
class Suite:
    """A named list of tasks that one model is trained on together; its score is the mean of the tasks' scores.

    preset: where none is asked for. texts: how an encoder reads the two texts of a pair, "together" or "apart".
    """

    __pydantic_config__ = STRICT

    name: str
    summary: str
    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()
    preset: str = "small"
    texts: str = "together"

    def __post_init__(self) -> None:
        for task in self.tasks:
            for field, why in contradictions(task):
                raise InvalidInput(f"task {task.name}, {field}: {why}")
        for field, why in self._contradictions():
            raise InvalidInput(f"suite {self.name}, {field}: {why}")

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Fields that are wrong by themselves, and tasks that do not go together, and why."""
        if not re.fullmatch(NAME, self.name):
            yield "name", f"{self.name!r} is not letters, digits and _ . - between them"
        if not self.tasks:
            yield "tasks", "there is none"
        names = [task.name for task in self.tasks]
        if twice := [name for name in names if names.count(name) > 1]:
            yield "tasks", f"two are named {twice[0]}"
        if self.texts not in TEXTS:
            yield "texts", f"{self.texts!r} is unknown; allowed: {', '.join(TEXTS)}"
        for first, second in pairwise(self.tasks):
            for field in ("choice", "pictures", "conflict"):
                if (getattr(first, field) in (None, False)) != (getattr(second, field) in (None, False)):
                    yield "tasks", f"{first.name} and {second.name} differ in {field}, which all of them have or none"
            if not first.pictures and first.written != second.written:
                yield "tasks", f"{first.name} and {second.name} differ in written, which all of them are or none"
        heads = {task.head_name: task for task in self.tasks}
        for task in self.tasks:
            if (other := heads[task.head_name]).labels != task.labels:
                yield "head", f"{task.name} and {other.name} share {task.head_name} and have other labels"

    @property
    def choice(self) -> bool:
        """Whether its tasks are multiple choice; all of them or none are."""
        return self.tasks[0].choice

    @property
    def written(self) -> bool:
        """Whether its tasks are answered in words, and asked without pictures; all of them or none are."""
        return self.tasks[0].written and not self.pictures

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

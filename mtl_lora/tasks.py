"""The tasks of a model by name and by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mtl_lora.errors import InvalidInput, unknown


class TaskNames:
    """The names of the tasks; a task's id is its place among them."""

    def __init__(self, tasks: Sequence[str]) -> None:
        names = isinstance(tasks, Sequence) and not isinstance(tasks, str) and all(isinstance(task, str) for task in tasks)
        if not (names and tasks and len(set(tasks)) == len(tasks)):
            raise InvalidInput(f"task names must be a list of strings that differ from each other, not {tasks!r}")
        self.tasks = tuple(tasks)

    def ids(self, tasks: Tensor | Sequence[int | str]) -> Tensor:
        """One id per sample (samples,) from ids or names; InvalidInput for anything else.

        On an accelerator a wrong id trips the one_hot kernel's own check; looking here would wait for the device.
        """
        if not isinstance(tasks, Tensor):
            if isinstance(tasks, str) or not isinstance(tasks, Iterable):
                raise _no_ids(repr(tasks))
            tasks = torch.tensor([self.index(task) for task in tasks], dtype=torch.long)
        if tasks.dtype != torch.long or tasks.dim() != 1:
            raise _no_ids(f"{tasks.dtype} of shape {tuple(tasks.shape)}")
        if tasks.device.type == "cpu":
            right = (tasks >= 0) & (tasks < len(self.tasks))
            if torch.compiler.is_compiling():
                require_all(right, f"a task id is out of range; the tasks are {self.describe()}")
            elif not right.all():
                self.index(int(tasks[~right][0]))
        return tasks

    def index(self, task: int | str) -> int:
        """The id of a task given by name or by id; InvalidInput where there is no such task."""
        if isinstance(task, str):
            if task not in self.tasks:
                raise unknown("task", task, self.tasks)
            return self.tasks.index(task)
        if isinstance(task, bool) or not hasattr(task, "__index__"):
            raise _no_ids(f"{task!r} in it")
        if not 0 <= task < len(self.tasks):
            raise InvalidInput(f"task id {int(task)} is out of range; the tasks are {self.describe()}")
        return int(task)

    def describe(self) -> str:
        """The tasks and their ids, for messages: "0 cola, 1 sst2"."""
        return ", ".join(f"{i} {name}" for i, name in enumerate(self.tasks))


def require_all(true: Tensor, otherwise: str) -> None:
    """InvalidInput unless all are true. A compiled graph cannot look: it stops with a RuntimeError of the same words."""
    if torch.compiler.is_compiling():
        torch._assert_async(true.all(), otherwise)
    elif not true.all():
        raise InvalidInput(otherwise)


def _no_ids(given: str) -> InvalidInput:
    return InvalidInput(f"task ids must be a LongTensor or a list of ids or names, one per sample, not {given}")

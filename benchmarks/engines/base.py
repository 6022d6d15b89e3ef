"""What an engine is: runs go in, and their files are in the store when they come out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.experiment.study import Study
from benchmarks.records.config import RunConfig
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Job:
    """A run to do, and the study that has its data and sources."""

    run: RunConfig
    study: Study


def largest_first(jobs: Sequence[Job]) -> list[Job]:
    """Seed by seed, so that a grid cut short has whole comparisons. Within a seed those first that train the most, mostly
    the slowest: otherwise one LoRA per task, begun late, is what all others end up waiting for.
    """
    seeds = list(dict.fromkeys(job.run.seed for job in jobs))
    return sorted(jobs, key=lambda job: (seeds.index(job.run.seed), -job.study.trained_parameters(job.run)))


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``done`` of ``total`` steps or batches of a phase."""

    run_id: str
    phase: str
    done: int
    total: int


Ended = dict[str, InvalidInput | None]  # ids of runs, and why their model or rows were refused, where they were
Tell = Callable[[Progress], None]


def seldom(tell: Tell, seconds: float) -> Tell:
    """``tell``, for as much of what is told as comes so many seconds after what was told last."""
    last = 0.0

    def told(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last > seconds:
            tell(progress)
            last = time.monotonic()

    return told


class Engine(ABC):
    """Does runs, some at a time; a context, at whose end nothing of it runs any more.

    execution: how it does them. leads: False in all but the first of several processes that do every run together.
    """

    execution: Execution
    leads = True

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many runs it does at a time."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start a run; a slot is free. One that was begun before, here or elsewhere, goes on from its last checkpoint."""

    @abstractmethod
    def wait(self, seconds: float, tell: Tell) -> Ended:
        """The runs that ended, waiting for at most so long. Whether they finished the store knows, of all but refused ones.

        tell: gets what the others do meanwhile.

        Raises:
            OSError: what came out of a run cannot be written, not even that it failed.
        """

    def agree(self, decision: str) -> str:
        """What the process that leads decided."""
        return decision

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop at once what still runs: it is gone on with later, from its last checkpoint."""

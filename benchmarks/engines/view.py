"""What a grid does, for people: a line at the end of each run, and what runs now as a live table or a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmarks.engines.base import Job, Progress
from benchmarks.records.schema import FailureRecord, Record
from benchmarks.records.store import RunStore
from benchmarks.words import duration, to_go

LINE_SECONDS = 60.0


@dataclass
class Doing:
    """A run that is being done here, and what was last heard of it. first: of the phase, what was done when it was first
    heard of, at ``phase_began``."""

    job: Job
    began: float = field(default_factory=time.monotonic)
    phase: str = "start"
    done: int = 0
    total: int = 0
    first: int = 0
    phase_began: float = 0.0
    shown: float = field(default_factory=time.monotonic)

    def update(self, progress: Progress) -> None:
        """Take in what a run tells."""
        if progress.phase != self.phase:
            self.phase, self.first, self.phase_began = progress.phase, progress.done, time.monotonic()
        self.done, self.total = progress.done, progress.total

    @property
    def part(self) -> float:
        """The part of training that is done."""
        return self.done / self.total if self.phase == "train" else float(self.phase == "evaluate")

    def __str__(self) -> str:
        elapsed = time.monotonic() - self.phase_began
        speed = f", {(self.done - self.first) / elapsed:.1f} a second" if self.done > self.first else ""
        return f"{self.phase} {self.done}/{self.total}{speed}" if self.total else self.phase


class View:
    """A grid of ``total`` runs on ``slots`` slots. here: False in processes that show nothing."""

    def __init__(self, jobs: Sequence[Job], store: RunStore, slots: int, here: bool) -> None:
        self.total, self.store, self.slots = len(jobs), store, slots
        self.running: dict[str, Doing] = {}
        self.seconds: list[float] = []  # of each run that was done here
        self.finished: set[str] = set()
        self.failures: dict[str, FailureRecord] = {}
        self.console = Console(file=sys.stdout, quiet=not here, highlight=False, soft_wrap=True)
        live = self.console.is_terminal
        self.live = Live(console=self.console, get_renderable=self._table, refresh_per_second=2) if live else None

    def __enter__(self) -> None:
        if self.live:
            self.live.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """Show a line."""
        self.console.print(line, markup=False)

    def started(self, job: Job) -> None:
        """A run begins."""
        self.running[job.run.id] = Doing(job)
        if not self.live:
            self.say(f"{job.run.title} ({job.run.id})")

    def progress(self, progress: Progress) -> str:
        """A run tells how far it is; gives that in words."""
        doing = self.running[progress.run_id]
        doing.update(progress)
        if not self.live and time.monotonic() - doing.shown > LINE_SECONDS:
            doing.shown = time.monotonic()
            self.say(f"  {doing.job.run.title}: {doing}")
        return str(doing)

    def ended(self, run_id: str, record: Record) -> None:
        """A run ended here, with this record."""
        doing = self.running.pop(run_id)
        self.seconds.append(time.monotonic() - doing.began)
        self.counted(record)
        if isinstance(record, FailureRecord):
            outcome = f"{record.status} at step {record.failure.step}: {record.failure.message}"
        else:
            outcome = f"score {100 * record.score:.2f} in {duration(self.seconds[-1])}"
        self.say(f"[{self._count()}] {doing.job.run.title}: {outcome} -> {self.store.record_path(run_id)}")

    def counted(self, record: Record) -> None:
        """A run has a record, from here or elsewhere, now or earlier."""
        if isinstance(record, FailureRecord):
            self.failures[record.id] = record
        else:
            self.finished.add(record.id)

    def _count(self) -> str:
        return f"{len(self.finished) + len(self.failures)}/{self.total}{to_go(self._seconds_left())}"

    def _seconds_left(self) -> float | None:
        """From the runs that ended here, or before there are any from the parts of those under way."""
        now = time.monotonic()
        times = self.seconds or [(now - d.began) / d.part for d in self.running.values() if d.part > 0.1]
        left = self.total - len(self.finished) - len(self.failures) - sum(d.part for d in self.running.values())
        return sum(times) / len(times) * left / self.slots if times and left > 0 else None

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        for doing in list(self.running.values()):
            table.add_row(doing.job.run.title, str(doing), duration(time.monotonic() - doing.began))
        left = self.total - len(self.finished) - len(self.failures) - len(self.running)
        counts = f"{len(self.finished)} finished, {len(self.running)} running, {len(self.failures)} failed, {left} left"
        return Group(table, Text(counts + to_go(self._seconds_left())))

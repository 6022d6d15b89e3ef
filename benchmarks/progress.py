"""Progress: a bar with the time left in a terminal, a line every tenth in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.words import duration, to_go


@contextmanager
def shown(name: str, total: int, here: bool) -> Iterator[Callable[[], None]]:
    """Show progress of something else than a run, where ``here``; gives what to call after each of ``total`` parts."""
    part = phase(name, total, 0, here)
    try:
        yield part.advance
    finally:
        part.close()


def phase(name: str, total: int, done: int, shown: bool) -> Phase:
    """What shows a phase of ``total`` parts, some of which are done already; to be closed at its end."""
    return (_Bar if sys.stdout.isatty() else _Lines)(name, total, done, shown)


class _Bar:
    def __init__(self, name: str, total: int, done: int, shown: bool) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.progress = Progress(TextColumn(f"  {name:<8}"), *columns, disable=not shown)
        self.task = self.progress.add_task(name, total=total, completed=done)
        self.progress.start()

    def advance(self, done: int | None = None) -> None:
        self.progress.update(self.task, advance=1 if done is None else None, completed=done)

    def close(self) -> None:
        self.progress.stop()


class _Lines:
    def __init__(self, name: str, total: int, done: int, shown: bool) -> None:
        self.name, self.total, self.done, self.shown = name, total, done, shown
        self.first, self.start, self.tenth = done, time.monotonic(), done * 10 // max(total, 1)

    def advance(self, done: int | None = None) -> None:
        self.done = self.done + 1 if done is None else done
        tenth = self.done * 10 // max(self.total, 1)
        if self.shown and tenth > self.tenth and self.done > self.first:
            elapsed = time.monotonic() - self.start
            left = elapsed / (self.done - self.first) * (self.total - self.done)
            print(f"  {self.name:<8} {self.done}/{self.total}  {duration(elapsed)} done{to_go(left)}", flush=True)
        self.tenth = tenth

    def close(self) -> None:
        pass


Phase = _Bar | _Lines

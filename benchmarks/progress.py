"""Progress of a run: a bar with the time left in a terminal, a line every tenth in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ProgressReport(TrainerCallback):
    """Shows training steps and evaluation batches of one run."""

    def __init__(self, evaluation_batches: int) -> None:
        self.evaluation_batches = evaluation_batches
        self.phase: _Bar | _Lines | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._open("train", state.max_steps, state.global_step, state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.phase.advance(state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.close()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.phase is None:
            self._open("evaluate", self.evaluation_batches, 0, state)
        self.phase.advance()

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *_: Any, **kwargs: Any
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is shown, however the run ended: a bar left open hides the cursor."""
        if self.phase is not None:
            self.phase.close()
        self.phase = None

    def _open(self, name: str, total: int, done: int, state: TrainerState) -> None:
        self.phase = _phase(name, total, done, state.is_world_process_zero)


@contextmanager
def shown(name: str, total: int, here: bool) -> Iterator[Callable[[], None]]:
    """Show progress of something else than a run, where ``here``; gives what to call after each of ``total`` parts."""
    phase = _phase(name, total, 0, here)
    try:
        yield phase.advance
    finally:
        phase.close()


def _phase(name: str, total: int, done: int, shown: bool) -> _Bar | _Lines:
    return (_Bar if sys.stdout.isatty() else _Lines)(name, total, done, shown)


class _Bar:
    def __init__(self, name: str, total: int, done: int, shown: bool) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.progress = Progress(TextColumn(f"  {name:<8}"), *columns, disable=not shown)
        self.task = self.progress.add_task(name, total=total, completed=done)
        self.progress.start()

    def advance(self, done: int | None = None) -> None:
        self.progress.update(self.task, **({"advance": 1} if done is None else {"completed": done}))

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
            print(f"  {self.name:<8} {self.done}/{self.total}  {duration(elapsed)} done, {duration(left)} left", flush=True)
        self.tenth = tenth

    def close(self) -> None:
        pass


def duration(seconds: float) -> str:
    """Seconds for a person: "42 s", "5 min 03 s", "2 h 07 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"

"""Progress of a run, as transformers' Trainer reports it."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from benchmarks.progress import Phase, phase


class ProgressReport(TrainerCallback):
    """Shows training steps and evaluation batches of one run."""

    def __init__(self, evaluation_batches: int) -> None:
        self.evaluation_batches = evaluation_batches
        self.phase: Phase | None = None

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
        self.phase = phase(name, total, done, state.is_world_process_zero)

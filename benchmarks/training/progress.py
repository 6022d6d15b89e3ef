"""Progress of a run, as transformers' Trainer reports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Watch = Callable[[str, int, int], None]  # gets the phase, how many of its steps or batches are done, and of how many


class ProgressReport(TrainerCallback):
    """Tells training steps and evaluation batches of one run, and keeps how far it came: ``step`` and ``losses``."""

    def __init__(self, evaluation_batches: int, watch: Watch) -> None:
        self.evaluation_batches, self.watch = evaluation_batches, watch
        self.scored, self.training = 0, False
        self.state = TrainerState()

    @property
    def step(self) -> int:
        """The last step that was done."""
        return self.state.global_step

    @property
    def losses(self) -> list[float]:
        """The losses logged so far."""
        return [entry["loss"] for entry in self.state.log_history if "loss" in entry]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.state, self.training = state, True

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.training = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.watch("train", state.global_step, state.max_steps)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self.training:
            self.scored += 1
            self.watch("evaluate", self.scored, self.evaluation_batches)

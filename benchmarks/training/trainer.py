"""transformers' Trainer, set up for a run: our order of rows, checkpoints of the trained tensors alone, resuming."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from safetensors import SafetensorError
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from benchmarks.records import schema
from benchmarks.records.config import RunConfig
from benchmarks.records.recipe import Recipe
from benchmarks.training.divergence import Diverged
from benchmarks.training.history import EVALUATED
from mtl_lora import AdaptedModel, InvalidInput, load_trained, save_trained

Outputs = np.ndarray | tuple[np.ndarray, ...]
CHECKPOINTS_A_RUN = 10
STATE_FILE = "trained.safetensors"


def together() -> int:
    """How many processes torchrun has started, this one among them, to do every run together."""
    return int(os.environ.get("WORLD_SIZE", 1))


@dataclass(frozen=True)
class Execution:
    """How runs are executed. None of it changes what is computed, up to rounding and the masks of dropout.

    accumulation: micro-batches per step and device. gradient_checkpointing: recompute activations in backward.
    report_to: the service that transformers' Trainer sends losses to. devices: processes that share the batches of a run.
    engine, workers: who does the runs, so many at a time. dev_scores: score on dev too, at the steps at which losses are
    reported.
    """

    accumulation: int = 1
    gradient_checkpointing: bool = False
    report_to: str = "none"
    devices: int = field(default_factory=together)
    engine: str = "local"
    workers: int = 1
    dev_scores: bool = False

    def __post_init__(self) -> None:
        there = get_available_reporting_integrations()
        if self.report_to != "none" and self.report_to not in there:
            raise InvalidInput(f"--report-to {self.report_to}: installed here are {', '.join(there) or 'none of those'}")

    def recorded(self) -> schema.Execution:
        """What a record holds of it."""
        return schema.Execution(self.devices, self.accumulation, self.gradient_checkpointing, self.engine, self.workers)

    def rows_at_once(self, batch_size: int) -> int:
        """The rows of a batch that a device reads at once. InvalidInput where they cannot be the same for all devices."""
        share, rest = divmod(batch_size, self.devices * self.accumulation)
        if rest:
            raise InvalidInput(
                f"a batch of {batch_size} cannot be split over {self.devices} devices x {self.accumulation} micro-batches"
            )
        return share


def training_arguments(
    run: RunConfig, recipe: Recipe, checkpoints: Path, execution: Execution, samples: int
) -> TrainingArguments:
    """The Trainer's arguments for a run of ``samples`` rows in all."""
    share = execution.rows_at_once(recipe.batch_size)
    total = samples // recipe.batch_size
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        seed=run.seed,
        num_train_epochs=1,  # the schedule holds the rows of all epochs in order
        train_sampling_strategy="sequential",
        per_device_train_batch_size=share,
        per_device_eval_batch_size=4 * share,
        gradient_accumulation_steps=execution.accumulation,
        activation_checkpointing=execution.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(recipe.warmup * total),
        weight_decay=recipe.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch",
        bf16=run.precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        logging_strategy="steps",
        logging_steps=max(total // CHECKPOINTS_A_RUN, 1),
        logging_nan_inf_filter=False,
        eval_strategy="steps" if execution.dev_scores else "no",
        eval_steps=max(total // CHECKPOINTS_A_RUN, 1),
        save_strategy="steps",
        save_steps=max(total // CHECKPOINTS_A_RUN, 1),
        save_total_limit=2,
        report_to=execution.report_to,
        run_name=f"{run.suite}: {run.title}",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs go through a launcher, not through nn.DataParallel
    return arguments


class AdapterTrainer(Trainer):
    """Trainer whose checkpoints hold the trained tensors alone: the frozen backbone is not written again.

    Where the method gives tensors learning rates of their own, the schedule scales each of them. Evaluation during training
    is of ``eval_dataset``, by ``grade``: outputs make scores by name. It takes no random numbers from training.
    """

    grade: Callable[[Outputs], dict[str, float]]
    seconds_of_evaluation = 0.0

    @property
    def backbone(self) -> AdaptedModel:
        """The adapted model inside the TaskModel that is trained."""
        return cast(AdaptedModel, self.model.backbone)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        start = time.monotonic()
        with torch.random.fork_rng():
            outputs = self.predict(cast(Dataset, self.eval_dataset)).predictions
        scores = {f"{EVALUATED}{name}": score for name, score in self.grade(outputs).items()}
        self.log(scores)
        self.seconds_of_evaluation += time.monotonic() - start
        return scores

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The model's loss and, in training, what the method adds to it."""
        loss: Any = super().compute_loss(model, inputs, *args, **kwargs)  # with outputs, where evaluation asks for them
        penalty = self.backbone.penalty() if model.training else None
        return loss if penalty is None else loss + penalty

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(model)
        factors = {id(self.backbone.get_parameter(name)): factor for name, factor in self.backbone.rate_factors().items()}
        if set(factors.values()) - {1.0}:
            optimizer.param_groups = [
                {**group, "lr": factor * group["lr"], "params": params}
                for group in optimizer.param_groups
                for factor in sorted({1.0, *factors.values()})
                if (params := [p for p in group["params"] if factors.get(id(p), 1.0) == factor])
            ]
        return optimizer

    model: nn.Module

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if self.args.should_save:
            output_dir = output_dir or self.args.output_dir
            assert output_dir is not None
            folder = Path(output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_trained(self.model, folder / STATE_FILE)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError, SafetensorError) as error:  # each writer has its own for a disk that is full
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"a checkpoint cannot be written to {self.args.output_dir}: {reason}") from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_trained(self.model, Path(resume_from_checkpoint) / STATE_FILE)


class StopAtNaN(TrainerCallback):
    """Ends a run whose loss is no number, rather than train it to the end."""

    def on_log(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        loss = kwargs["logs"].get("loss", 0.0)
        if not np.isfinite(loss):
            raise Diverged(f"the loss became {loss}")

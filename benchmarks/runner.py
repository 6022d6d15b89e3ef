"""Trains and evaluates the runs of a study on transformers' Trainer, one record each."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks import environment
from benchmarks.data import Collator, encode, lengths, schedule
from benchmarks.metrics import evaluate_task
from benchmarks.model import MultiTaskModel
from benchmarks.plan import Study
from benchmarks.progress import ProgressReport, duration
from benchmarks.records import SCHEMA, RunConfig, RunStore
from mtl_lora import AdaptedModel, InvalidInput

CHECKPOINTS_A_RUN = 10
STATE_FILE = "trained.safetensors"
COMPLETE = "complete"  # an empty file, written last into a checkpoint


@dataclass(frozen=True)
class Execution:
    """How runs are executed; none of it changes what is computed, up to rounding.

    accumulation: micro-batches a step and device. gradient_checkpointing: recompute activations in backward.
    """

    accumulation: int = 1
    gradient_checkpointing: bool = False


def run_study(study: Study, store: RunStore, execution: Execution) -> list[dict[str, Any]]:
    """Do every run of the study that has no record yet; the records of all of them."""
    process = PartialState()
    runs = study.runs()
    records = {run.id: store.find(run.id) for run in runs}
    waiting = [run for run in runs if records[run.id] is None]
    if process.is_main_process:
        print(f"{len(runs)} runs, {len(runs) - len(waiting)} finished already; results in {store.folder}", flush=True)
    if waiting:
        tokenizer = study.source.tokenizer(study.backbone.id, study.backbone.revision)
        train, test = encode(study.data, tokenizer, study.backbone.max_length)
        surroundings = environment.environment() | {
            "source": "mirror" if study.source.mirror else "hub",
            "weights_sha256": study.source.weights_hash(study.backbone.id),
        }
        start = time.monotonic()
        for done, run in enumerate(waiting):
            if process.is_main_process:
                left = f", about {duration((time.monotonic() - start) / done * (len(waiting) - done))} left" if done else ""
                print(f"[{done + 1}/{len(waiting)}{left}] {run.title} ({run.id})", flush=True)
            records[run.id] = _run(study, run, store, execution, tokenizer, train, test, surroundings)
            if process.is_main_process:
                print(f"  score {100 * records[run.id]['score']:.2f} -> {store.record_path(run.id)}", flush=True)
    return [records[run.id] for run in runs]


def build_model(study: Study, run: RunConfig) -> MultiTaskModel:
    """The model of a run at its start: pretrained backbone, adapters and heads from the run's seed."""
    fit = study.fits[run.method["label"]]
    dtype = torch.bfloat16 if run.precision == "bfloat16" and torch.cuda.is_available() else torch.float32
    backbone = study.source.model(study.backbone.id, study.backbone.revision, dtype)
    backbone.config.use_cache = False
    adapted = AdaptedModel(backbone, fit.method, run.tasks, study.backbone.targets, seed=run.seed)
    return MultiTaskModel(adapted, [d.task for d in study.data], study.backbone.pooling, run.seed)


def _run(
    study: Study,
    run: RunConfig,
    store: RunStore,
    execution: Execution,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    test: Dataset,
    surroundings: dict[str, Any],
) -> dict[str, Any]:
    set_seed(run.seed)
    model = build_model(study, run)
    order = schedule([len(d.train) for d in study.data], lengths(train), study.recipe, run.seed)
    arguments = _training_arguments(study, run, store, execution, len(order))
    trainer = AdapterTrainer(
        model=model,
        args=arguments,
        train_dataset=train.select(order),
        data_collator=Collator(tokenizer),
        callbacks=[
            ProgressReport(-(-len(test) // (arguments.eval_batch_size * arguments.world_size))),
            MarkComplete(),
            StopAtNaN(run),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(store.checkpoints(run.id))
    start = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    train_seconds = time.monotonic() - start

    start = time.monotonic()
    predictions = predictions_table(study, test, trainer.predict(test).predictions)
    scores = {d.task.name: _task_scores(d, predictions) for d in study.data}
    record = {
        "schema": SCHEMA,
        "id": run.id,
        "config": dataclasses.asdict(run),
        "score": float(np.mean([s["score"] for s in scores.values()])),
        "scores": scores,
        "parameters": model.parameters_by_part()
        | {"budget_mismatch": study.fits[run.method["label"]].mismatch}
        | {"tensors": {name: list(p.shape) for name, p in model.trained_state().items()}},
        "training": {
            "steps": trainer.state.global_step,
            "samples": len(order),
            "loss": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
            "seconds": train_seconds,
            "resumed_from_step": int(checkpoint.name.partition("-")[2]) if checkpoint else 0,
            "evaluation_seconds": time.monotonic() - start,
            "peak_memory_bytes": environment.peak_memory(),
            "devices": arguments.world_size,
            **dataclasses.asdict(execution),
        },
        "environment": surroundings | {"created": datetime.now(timezone.utc).isoformat(timespec="seconds")},
    }
    if trainer.is_world_process_zero():
        store.write(record, predictions, model.trained_state())
        shutil.rmtree(store.checkpoints(run.id), ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return record


def _training_arguments(
    study: Study, run: RunConfig, store: RunStore, execution: Execution, samples: int
) -> TrainingArguments:
    recipe = study.recipe
    world = int(os.environ.get("WORLD_SIZE", 1))
    share, rest = divmod(recipe.batch_size, world * execution.accumulation)
    if rest:
        raise InvalidInput(
            f"a batch of {recipe.batch_size} cannot be split over {world} devices x {execution.accumulation} micro-batches"
        )
    total = samples // recipe.batch_size
    arguments = TrainingArguments(
        output_dir=str(store.checkpoints(run.id)),
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
        save_strategy="steps",
        save_steps=max(total // CHECKPOINTS_A_RUN, 1),
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs go through a launcher, not through nn.DataParallel
    return arguments


class AdapterTrainer(Trainer):
    """Trainer whose checkpoints hold the trained tensors alone: the frozen backbone is not written again."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.model.trained_state(), folder / STATE_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        state = load_file(Path(resume_from_checkpoint) / STATE_FILE)
        with torch.no_grad():
            for name, tensor in self.model.trained_state().items():
                tensor.copy_(state[name])


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once all of it is written, so that one cut short by a kill is never resumed from."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class StopAtNaN(TrainerCallback):
    """Ends a run whose loss is no number, rather than train it to the end."""

    def __init__(self, run: RunConfig) -> None:
        self.run = run

    def on_log(self, args: TrainingArguments, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if not np.isfinite(logs.get("loss", 0.0)):
            raise InvalidInput(f"{self.run.title}: the loss became {logs['loss']}; try a lower --learning-rate")


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint of a run that was written whole, or None."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.partition("-")[2]), default=None)


def predictions_table(study: Study, test: Dataset, predictions: np.ndarray) -> pd.DataFrame:
    """One row a scored sample, by task and row of the source's split: task, row, label, prediction."""
    names = [d.task.name for d in study.data]
    columns = test.select_columns(["task_ids", "row", "labels"]).to_pandas()
    columns["prediction"] = predictions.astype(np.float32)
    columns = columns.sort_values(["task_ids", "row"], ignore_index=True).rename(columns={"labels": "label"})
    columns.insert(0, "task", pd.Categorical.from_codes(columns.pop("task_ids"), names))
    return columns


def _task_scores(data: Any, predictions: pd.DataFrame) -> dict[str, Any]:
    own = predictions[predictions["task"] == data.task.name]
    labels, predicted = (own[c].to_numpy(dtype=float) for c in ("label", "prediction"))
    return evaluate_task(data.task, labels, predicted, np.array(data.train["label"], dtype=float))

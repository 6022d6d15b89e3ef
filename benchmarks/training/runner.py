"""Trains and evaluates the runs of a study, one record each."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PrinterCallback, set_seed

from benchmarks.answering.base import AnswerMode, TaskModel
from benchmarks.experiment.protocols import answer_mode_of, max_length_of, recipe_of
from benchmarks.experiment.study import Study
from benchmarks.progress import duration
from benchmarks.records import environment, schema
from benchmarks.records.config import RunConfig
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.training.batches import Collator, encode, features_for, lengths, schedule
from benchmarks.training.divergence import refuse_diverged
from benchmarks.training.image_features import Features
from benchmarks.training.memory import within_memory
from benchmarks.training.model import build_model
from benchmarks.training.predictions import grade_task, read_predictions
from benchmarks.training.progress import ProgressReport
from benchmarks.training.trainer import (
    AdapterTrainer,
    Execution,
    MarkComplete,
    StopAtNaN,
    checkpoint_step,
    last_checkpoint,
    training_arguments,
)
from mtl_lora import save_trained

POLL_SECONDS = 5


def run_studies(studies: Sequence[Study], store: RunStore, execution: Execution) -> list[RunRecord]:
    """Do every run of the studies that has no record yet, seed by seed; the records of all of them.

    Several jobs may work on one folder: a run that another one is busy with is left to the end, and done here only if
    that job ended without a record.
    """
    process = PartialState(cpu=not torch.cuda.is_available())
    say = partial(print, flush=True) if process.is_main_process else lambda _: None
    pairs = [(run, study) for study in studies for run in study.runs()]
    pairs.sort(key=lambda pair: studies[0].seeds.index(pair[0].seed))
    runs, study_of = [run for run, _ in pairs], {run.id: study for run, study in pairs}
    if process.is_main_process:
        finished = sum(store.find(run.id) is not None for run in runs)
        say(f"{len(runs)} runs, {finished} finished already; results in {store.folder}")
    worker: _Worker | None = None
    announced: list[RunConfig] = []
    waiting, done, start = runs, 0, time.monotonic()
    while waiting:
        busy = []
        for run in waiting:
            with _claim(store, run, process) as state:
                if state == "busy":
                    busy.append(run)
                elif state == "ours":
                    if worker is None or worker.study is not study_of[run.id]:
                        worker = _Worker(study_of[run.id], store, execution)
                    left = (time.monotonic() - start) / done * (len(waiting) - waiting.index(run)) if done else None
                    estimate = f", about {duration(left)} left" if left else ""
                    say(f"[{runs.index(run) + 1}/{len(runs)}{estimate}] {run.title} ({run.id})")
                    with within_memory(run.title):
                        record = worker.run(run)
                    done += 1
                    say(f"  score {100 * record.score:.2f} -> {store.record_path(run.id)}")
        if busy:
            if busy != announced:
                say(f"waiting for {len(busy)} runs that another job is busy with")
                announced = busy
            time.sleep(POLL_SECONDS)
        waiting = busy
    return [store.find(run.id) for run in runs]


@contextmanager
def _claim(store: RunStore, run: RunConfig, process: PartialState) -> Iterator[str]:
    """Whether a run is "ours" to do, "busy" with another job, or "done": the main process finds out for its whole job."""
    if not process.is_main_process:
        yield broadcast_object_list([None])[0]
        return
    with store.claim(run.id) as ours:
        state = "busy" if not ours else "done" if store.find(run.id) else "ours"
        yield broadcast_object_list([state])[0]


class _Worker:
    """What the runs of a study share: tokenised rows, and the surroundings as they were at the start."""

    def __init__(self, study: Study, store: RunStore, execution: Execution) -> None:
        self.study, self.store, self.execution = study, store, execution
        self.tokenizer = study.source.tokenizer(study.backbone.id, study.backbone.revision)
        self.prepared = cache(self._prepare)  # by answer mode and length
        self.environment = environment.environment()
        self.origin = {
            "source": "generated" if study.suite.conflict is not None else "mirror" if study.source.mirror else "hub",
            "weights": study.source.identity(study.backbone.id, study.backbone.revision),
        }

    def _prepare(self, mode: AnswerMode, max_length: int) -> tuple[Dataset, Dataset, Features | None]:
        """Training and test rows, and the features of their pictures."""
        train, test = encode(self.study.data, self.tokenizer, mode, max_length)
        return train, test, features_for(self.study.data, mode, self.study.source, train, test)

    def run(self, run: RunConfig) -> RunRecord:
        """Train, evaluate and record one run, from its last checkpoint where there is one."""
        environment.forget_memory()
        set_seed(run.seed)
        model = build_model(run, self.study.source)
        mode, recipe = answer_mode_of(run), recipe_of(run)
        train, test, features = self.prepared(mode, max_length_of(run))
        if features is not None:
            model.standardise(*features.statistics)
        order = schedule([len(d.train) for d in self.study.data], lengths(train), recipe, run.seed)
        arguments = training_arguments(run, recipe, self.store.checkpoints(run.id), self.execution, len(order))
        batches = -(-len(test) // (arguments.eval_batch_size * arguments.world_size))
        progress = ProgressReport(batches)
        trainer = AdapterTrainer(
            model=model,
            args=arguments,
            train_dataset=train.select(order),
            data_collator=Collator(mode, self.tokenizer, features),
            callbacks=[progress, MarkComplete(), StopAtNaN(run.title)],
        )
        trainer.remove_callback(PrinterCallback)
        checkpoint = last_checkpoint(self.store.checkpoints(run.id))
        start = time.monotonic()
        try:
            if any(p.requires_grad for p in model.parameters()):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            trained = time.monotonic()
            outputs = trainer.predict(test).predictions
            losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
            refuse_diverged(run.title, losses.values(), model, outputs if isinstance(outputs, tuple) else (outputs,))
            predictions = read_predictions(self.study.data, test, mode, outputs, self.tokenizer)
        finally:
            progress.close()
        training = schema.Training(
            steps=trainer.state.global_step,
            samples=trainer.state.global_step * recipe.batch_size,
            loss=tuple(losses.values()),
            loss_steps=tuple(losses),
            seconds=trained - start,
            resumed_from_step=checkpoint_step(checkpoint),
            evaluation_seconds=time.monotonic() - trained,
            peak_memory_bytes=environment.peak_memory(),
        )
        record = self._record(run, model, predictions, training, arguments.world_size)
        if trainer.is_world_process_zero():
            self.store.write(record, predictions, partial(save_trained, model))
            shutil.rmtree(self.store.checkpoints(run.id), ignore_errors=True)
        trainer.accelerator.wait_for_everyone()
        return record

    def _record(
        self, run: RunConfig, model: TaskModel, predictions: pd.DataFrame, training: schema.Training, devices: int
    ) -> RunRecord:
        scores = {d.task.name: grade_task(d, predictions) for d in self.study.data}
        tensors = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        mismatch = self.study.fits[run.method.label, run.budget].mismatch
        return RunRecord(
            id=run.id,
            config=run,
            score=float(np.mean([s.score for s in scores.values()])),
            scores=scores,
            parameters=schema.Parameters(**model.parameters_by_part(), budget_mismatch=mismatch, tensors=tensors),
            training=training,
            execution=schema.Execution(devices, **dataclasses.asdict(self.execution)),
            environment=self.environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            **self.origin,
        )

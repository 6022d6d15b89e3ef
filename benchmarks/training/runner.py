"""Trains and evaluates runs, one record each."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import PrinterCallback, set_seed

from benchmarks.answering.base import TaskModel
from benchmarks.answering.registry import read_answer_mode
from benchmarks.answering.vision_language_model import VisionLanguageModel
from benchmarks.data.splits import TaskData
from benchmarks.experiment.study import Study
from benchmarks.records import environment, schema
from benchmarks.records.config import RunConfig, plain
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import all_suites
from benchmarks.training.batches import Collator, encode, encode_scored, features_for, lengths, schedule
from benchmarks.training.divergence import refuse_diverged
from benchmarks.training.image_features import Features
from benchmarks.training.model import FrozenBackbone, build_model, method_source
from benchmarks.training.predictions import grade_task, read_predictions
from benchmarks.training.progress import ProgressReport, Watch
from benchmarks.training.trainer import (
    EVALUATED,
    AdapterTrainer,
    Execution,
    MarkComplete,
    Outputs,
    StopAtNaN,
    checkpoint_step,
    last_checkpoint,
    training_arguments,
)
from mtl_lora import save_trained


class Rows(NamedTuple):
    """Training and scored rows as tokens, those of dev where they are to be scored meanwhile, and pictures' features."""

    train: Dataset
    test: Dataset
    features: Features | None
    dev: Dataset | None = None
    dev_data: Sequence[TaskData] = ()


class Runner:
    """Does one run after another, and keeps what they have in common: the frozen backbone, tokenised rows, features."""

    def __init__(self, store: RunStore, execution: Execution) -> None:
        self.store, self.execution = store, execution
        self.frozen_backbone = FrozenBackbone()
        self.environment = environment.environment()
        self.tokenizer = cache(Source.tokenizer)
        self.progress: ProgressReport | None = None  # of the latest run
        self._rows: dict[str, Rows] = {}

    def rows(self, study: Study, run: RunConfig) -> Rows:
        """The rows of a run."""
        mode, max_length = read_answer_mode(run.answering), run.backbone.max_length
        key = repr((study.source, run.backbone.id, run.backbone.revision, run.data, mode, max_length))
        if key not in self._rows:
            tokenizer = self.tokenizer(study.source, run.backbone.id, run.backbone.revision)
            train, test = encode(study.data, tokenizer, mode, max_length)
            if self.execution.dev_scores:
                dev_data = replace(study, split="dev").data
                dev = encode_scored(dev_data, tokenizer, mode, max_length)
                features = features_for([*study.data, *dev_data], mode, study.source, train, test, dev)
                self._rows[key] = Rows(train, test, features, dev, dev_data)
            else:
                self._rows[key] = Rows(train, test, features_for(study.data, mode, study.source, train, test))
        return self._rows[key]

    def run(self, study: Study, run: RunConfig, watch: Watch) -> RunRecord:
        """Train, evaluate and record one run, from its last checkpoint where there is one.

        Args:
            study: What has the run's data and source.
            run: Its configuration.
            watch: Is told the phase, and how many of its steps or batches are done.

        Raises:
            Diverged: Losses, trained tensors or outputs became values that are no numbers.
        """
        environment.forget_memory()
        self.progress = None
        set_seed(run.seed)
        model = build_model(run, study.suite, study.source, self.frozen_backbone)
        mode, recipe = read_answer_mode(run.answering), run.recipe
        tokenizer = self.tokenizer(study.source, run.backbone.id, run.backbone.revision)
        train, test, features, dev, dev_data = self.rows(study, run)
        if features is not None:
            assert isinstance(model, VisionLanguageModel)
            model.standardise(*features.statistics)
        order = schedule([len(d.train) for d in study.data], lengths(train), recipe, run.seed)
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(self.store.folder / "tensorboard" / run.id)  # the one way to say it
        arguments = training_arguments(run, recipe, self.store.checkpoints(run.id), self.execution, len(order))
        batches = -(-len(test) // (arguments.eval_batch_size * arguments.world_size))
        self.progress = ProgressReport(batches, watch)
        trainer = AdapterTrainer(
            model=model,
            args=arguments,
            train_dataset=train.select(order),
            eval_dataset=dev,
            data_collator=Collator(mode, tokenizer, features),
            callbacks=[self.progress, MarkComplete(), StopAtNaN()],
        )
        trainer.remove_callback(PrinterCallback)

        def grade(outputs: Outputs) -> dict[str, float]:
            refuse_diverged([], model, outputs if isinstance(outputs, tuple) else (outputs,))
            assert dev is not None
            predictions = read_predictions(dev_data, dev, mode, outputs, tokenizer)
            return {own.task.name: grade_task(own, predictions).score for own in dev_data}

        trainer.grade = grade
        checkpoint = last_checkpoint(self.store.checkpoints(run.id))
        start = time.monotonic()
        if any(p.requires_grad for p in model.parameters()):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trained = time.monotonic()
        outputs = trainer.predict(test).predictions
        losses = {int(entry["step"]): entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
        refuse_diverged(losses.values(), model, outputs if isinstance(outputs, tuple) else (outputs,))
        predictions = read_predictions(study.data, test, mode, outputs, tokenizer)
        training = schema.Training(
            steps=trainer.state.global_step,
            samples=trainer.state.global_step * recipe.batch_size,
            loss=tuple(losses.values()),
            loss_steps=tuple(losses),
            seconds=trained - start - trainer.seconds_of_evaluation,
            resumed_from_step=checkpoint_step(checkpoint),
            evaluation_seconds=time.monotonic() - trained,
            peak_memory_bytes=environment.peak_memory(),
            dev_scores=_dev_scores(trainer.state.log_history, run.tasks),
        )
        record = self._record(study, run, model, predictions, training, arguments.world_size)
        if trainer.is_world_process_zero():
            self.store.write(record, predictions, partial(save_trained, model))
            shutil.rmtree(self.store.checkpoints(run.id), ignore_errors=True)
        trainer.accelerator.wait_for_everyone()
        return record

    def _record(
        self,
        study: Study,
        run: RunConfig,
        model: TaskModel,
        predictions: pd.DataFrame,
        training: schema.Training,
        devices: int,
    ) -> RunRecord:
        scores = {d.task.name: grade_task(d, predictions) for d in study.data}
        tensors = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        mismatch = study.fit((run.method.label, run.budget), run.candidate.value).mismatch
        return RunRecord(
            id=run.id,
            config=run,
            score=float(np.mean([s.score for s in scores.values()])),
            scores=scores,
            parameters=schema.Parameters(**model.parameters_by_part(), budget_mismatch=mismatch, tensors=tensors),
            training=training,
            execution=self.execution.recorded(devices),
            environment=self.environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            source=_origin(study),
            method_sha256=method_source(run.method.name),
            own_suite=None if study.suite.name in all_suites() else plain(study.suite),
        )


def _dev_scores(log: Sequence[Mapping[str, float]], tasks: Sequence[str]) -> schema.DevScores | None:
    """What the Trainer's log says of scores on dev; a step that was done again after a kill is there once."""
    by_step = {int(entry["step"]): entry for entry in log if f"{EVALUATED}{tasks[0]}" in entry}
    if not by_step:
        return None
    scores = {task: tuple(entry[f"{EVALUATED}{task}"] for entry in by_step.values()) for task in tasks}
    return schema.DevScores(tuple(by_step), scores)


def _origin(study: Study) -> Literal["generated", "files", "mirror", "hub"]:
    """Where the rows came from."""
    if study.suite.conflict is not None:
        return "generated"
    if all(own.task.local for own in study.data):
        return "files"
    return "mirror" if study.source.mirror else "hub"

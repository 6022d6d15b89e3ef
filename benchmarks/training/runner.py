"""Trains and evaluates runs, one record each."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import Literal

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed

from benchmarks.answering.base import AnswerMode, TaskModel
from benchmarks.answering.registry import read_answer_mode
from benchmarks.answering.vision_language_model import VisionLanguageModel
from benchmarks.experiment.study import Study
from benchmarks.records import environment, schema
from benchmarks.records.config import RunConfig, plain
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import all_suites
from benchmarks.training.batches import Collator, lengths, schedule
from benchmarks.training.checkpoints import MarkComplete, checkpoint_step, last_checkpoint
from benchmarks.training.divergence import refuse_diverged
from benchmarks.training.history import dev_scores, losses_by_step
from benchmarks.training.model import FrozenBackbone, build_model, method_source
from benchmarks.training.predictions import grade_task, read_predictions
from benchmarks.training.progress import ProgressReport, Watch
from benchmarks.training.rows import Rows, encode_rows
from benchmarks.training.trainer import (
    AdapterTrainer,
    Execution,
    Outputs,
    StopAtNaN,
    training_arguments,
)
from mtl_lora import save_trained


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
            self._rows[key] = encode_rows(study, tokenizer, mode, max_length, self.execution.dev_scores)
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
        rows = self.rows(study, run)
        if rows.features is not None:
            assert isinstance(model, VisionLanguageModel)
            model.standardise(*rows.features.statistics)
        order = schedule([len(d.train) for d in study.data], lengths(rows.train), recipe, run.seed)
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(self.store.folder / "tensorboard" / run.id)  # the one way to say it
        arguments = training_arguments(run, recipe, self.store.checkpoints(run.id), self.execution, len(order))
        batches = -(-len(rows.test) // (arguments.eval_batch_size * arguments.world_size))
        self.progress = ProgressReport(batches, watch)
        trainer = AdapterTrainer(
            model=model,
            args=arguments,
            train_dataset=rows.train.select(order),
            eval_dataset=rows.dev,
            data_collator=Collator(mode, tokenizer, rows.features),
            callbacks=[self.progress, MarkComplete(), StopAtNaN()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.grade = partial(_grade_dev, model, rows, mode, tokenizer)
        checkpoint = last_checkpoint(self.store.checkpoints(run.id))
        start = time.monotonic()
        if any(p.requires_grad for p in model.parameters()):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trained = time.monotonic()
        outputs = trainer.predict(rows.test).predictions
        losses = losses_by_step(trainer.state.log_history)
        refuse_diverged(losses.values(), model, outputs if isinstance(outputs, tuple) else (outputs,))
        predictions = read_predictions(study.data, rows.test, mode, outputs, tokenizer)
        training = schema.Training(
            steps=trainer.state.global_step,
            samples=trainer.state.global_step * recipe.batch_size,
            loss=tuple(losses.values()),
            loss_steps=tuple(losses),
            seconds=trained - start - trainer.seconds_of_evaluation,
            resumed_from_step=checkpoint_step(checkpoint),
            evaluation_seconds=time.monotonic() - trained,
            peak_memory_bytes=environment.peak_memory(),
            dev_scores=dev_scores(trainer.state.log_history, run.tasks),
        )
        record = self._record(study, run, model, predictions, training)
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
            execution=self.execution.recorded(),
            environment=self.environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            source=_origin(study),
            method_sha256=method_source(run.method.name),
            own_suite=None if study.suite.name in all_suites() else plain(study.suite),
        )


def _grade_dev(
    model: TaskModel, rows: Rows, mode: AnswerMode, tokenizer: PreTrainedTokenizerBase, outputs: Outputs
) -> dict[str, float]:
    """Each task's score on dev; Diverged where an output is no number."""
    refuse_diverged([], model, outputs if isinstance(outputs, tuple) else (outputs,))
    assert rows.dev is not None
    predictions = read_predictions(rows.dev_data, rows.dev, mode, outputs, tokenizer)
    return {data.task.name: grade_task(data, predictions).score for data in rows.dev_data}


def _origin(study: Study) -> Literal["generated", "files", "mirror", "hub"]:
    """Where the rows came from."""
    if study.suite.conflict is not None:
        return "generated"
    if all(data.task.local for data in study.data):
        return "files"
    return "mirror" if study.source.mirror else "hub"

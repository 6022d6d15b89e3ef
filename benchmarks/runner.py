"""Trains and evaluates the runs of a study, one record each."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed

from benchmarks import environment
from benchmarks.answering import OUTPUTS, TaskModel, Way
from benchmarks.data import Collator, TaskData, encode, features_for, lengths, schedule
from benchmarks.features import Features
from benchmarks.metrics import Scored, evaluate_task
from benchmarks.model import build_model
from benchmarks.plan import Study
from benchmarks.progress import ProgressReport, duration
from benchmarks.protocols import max_length_of, recipe_of, way_of_run
from benchmarks.records import SCHEMA, RunConfig, RunStore
from benchmarks.trainer import (
    AdapterTrainer,
    Execution,
    MarkComplete,
    StopAtNaN,
    checkpoint_step,
    last_checkpoint,
    training_arguments,
)
from benchmarks.written import evaluate_written, points

POLL_SECONDS = 5


def run_studies(studies: Sequence[Study], store: RunStore, execution: Execution) -> list[dict[str, Any]]:
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
                    record = worker.run(run)
                    done += 1
                    say(f"  score {100 * record['score']:.2f} -> {store.record_path(run.id)}")
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
        self.prepared = cache(self._prepare)  # by way of answering and length
        self.environment = environment.environment() | {
            "source": "generated" if study.suite.conflict is not None else "mirror" if study.source.mirror else "hub",
            "weights_sha256": study.source.weights_hash(study.backbone.id),
        }

    def _prepare(self, way: Way, max_length: int) -> tuple[Dataset, Dataset, Features | None]:
        """Training and test rows, and the features of their pictures."""
        train, test = encode(self.study.data, self.tokenizer, way, max_length)
        return train, test, features_for(self.study.data, way, self.study.source, train, test)

    def run(self, run: RunConfig) -> dict[str, Any]:
        """Train, evaluate and record one run, from its last checkpoint where there is one."""
        environment.forget_memory()
        set_seed(run.seed)
        model = build_model(run, self.study.source)
        way, recipe = way_of_run(run), recipe_of(run)
        train, test, features = self.prepared(way, max_length_of(run))
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
            data_collator=Collator(way, self.tokenizer, features),
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
            predictions = _predictions(self.study.data, test, way, outputs, self.tokenizer)
        finally:
            progress.close()
        training = {
            "steps": trainer.state.global_step,
            "samples": trainer.state.global_step * recipe.batch_size,
            "loss": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
            "seconds": trained - start,
            "resumed_from_step": checkpoint_step(checkpoint),
            "evaluation_seconds": time.monotonic() - trained,
            "peak_memory_bytes": environment.peak_memory(),
            "devices": arguments.world_size,
            **dataclasses.asdict(self.execution),
        }
        record = self._record(run, model, predictions, training)
        if trainer.is_world_process_zero():
            self.store.write(record, predictions, model)
            shutil.rmtree(self.store.checkpoints(run.id), ignore_errors=True)
        trainer.accelerator.wait_for_everyone()
        return record

    def _record(
        self, run: RunConfig, model: TaskModel, predictions: pd.DataFrame, training: dict[str, Any]
    ) -> dict[str, Any]:
        scores = {d.task.name: _scores(d, predictions) for d in self.study.data}
        tensors = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        mismatch = self.study.fits[run.method["label"], run.budget].mismatch
        return {
            "schema": SCHEMA,
            "id": run.id,
            "config": run.as_dict(),
            "score": float(np.mean([s["score"] for s in scores.values()])),
            "scores": scores,
            "parameters": model.parameters_by_part() | {"budget_mismatch": mismatch, "tensors": tensors},
            "training": training,
            "environment": self.environment | {"created": datetime.now(UTC).isoformat(timespec="seconds")},
        }


def _predictions(
    data: Sequence[TaskData],
    test: Dataset,
    way: Way,
    outputs: np.ndarray | tuple[np.ndarray, ...],
    tokenizer: PreTrainedTokenizerBase,
) -> pd.DataFrame:
    """One row a scored sample, by task and row of the source's split: task, row, label, prediction and what the way adds.

    Of written answers the prediction is what the text earns, and there is no label.
    """
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    by_name = dict(zip(OUTPUTS, outputs, strict=False))
    task_ids, rows = np.array(test["task_ids"][:]), np.array(test["row"][:])
    parts = []
    for index, own in enumerate(data):
        places = np.flatnonzero(task_ids == index)
        places = places[np.argsort(rows[places])]
        answers = way.answers(own.task, {name: values[places] for name, values in by_name.items()}, tokenizer)
        part = pd.DataFrame({"task": own.task.name, "row": rows[places]})
        if own.task.written:
            references = _of_rows(own.test, "answers", part["row"])
            label, answers = np.nan, {"prediction": points(own.task, answers["text"], references), **answers}
        else:
            label = np.array(_of_rows(own.test, "label", part["row"]), dtype=float)
        parts.append(part.assign(label=label, **answers))
    columns = pd.concat(parts, ignore_index=True)
    columns["task"] = pd.Categorical(columns["task"], [d.task.name for d in data])
    return columns


def _of_rows(rows: Dataset, column: str, numbers: pd.Series) -> list[Any]:
    """A column of the rows of these numbers, in their order."""
    found = dict(zip(rows["row"], rows[column], strict=True))
    return [found[number] for number in numbers]


def _scores(data: TaskData, predictions: pd.DataFrame) -> dict[str, Any]:
    own = predictions[predictions["task"] == data.task.name]
    if data.task.written:
        references = _of_rows(data.test, "answers", own["row"])
        return evaluate_written(data.task, own["text"].tolist(), references, data.train["answers"])
    queries = np.array(_of_rows(data.test, "query", own["row"])) if data.task.query_column else None
    scored = Scored(
        task=data.task,
        labels=own["label"].to_numpy(dtype=float),
        predictions=own["prediction"].to_numpy(dtype=float),
        confidence=own["confidence"].to_numpy(dtype=float) if data.task.ranked else None,
        queries=queries,
    )
    return evaluate_task(scored, np.array(data.train["label"], dtype=float))

"""Looks inside finished runs: do their tasks pull together, what does each get of the adapters, what do adapters cost?

This needs the data and the trained tensors; what is written here is all that reports read.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.analysis.diagnosable import runs_to_diagnose
from benchmarks.analysis.geometry import cosines, of_mtl_lora, separation, update_overlap, wide
from benchmarks.analysis.inference import FinishedRun
from benchmarks.analysis.passes import AT_ONCE, Batch, gradient, inference, mean_inputs
from benchmarks.answering.registry import read_answer_mode
from benchmarks.data.splits import TaskData, load_task
from benchmarks.records.config import plain
from benchmarks.records.environment import environment, forget_memory
from benchmarks.records.measurements import DIAGNOSIS
from benchmarks.records.store import RunStore, write_whole
from benchmarks.sources import Source
from benchmarks.training.batches import Collator, encode, features_for
from benchmarks.training.model import build_model
from benchmarks.words import plural, to_go
from mtl_lora import InvalidInput, MTLLoRA

ROWS = 64  # per task, of its training rows


def diagnose_runs(store: RunStore, run_ids: Sequence[str], source: Source) -> None:
    """Write the diagnosis of each of these runs that has none yet; of every run that can be looked into, where none is
    named."""
    runs = runs_to_diagnose(store, run_ids)
    missing = [run for run in runs if not store.diagnosis_path(run.id).exists()]
    done = len(runs) - len(missing)
    print(f"{plural(len(runs), 'run')}, {done} diagnosed already; diagnoses in {store.folder / 'diagnoses'}", flush=True)
    load, start = cache(partial(load_task, source=source)), time.monotonic()
    for number, run in enumerate(missing, 1):
        forget_memory()
        text = json.dumps(_plain(diagnose(FinishedRun.open(store, run.id, source), load))) + "\n"
        path = store.diagnosis_path(run.id)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
        left = (time.monotonic() - start) / number * (len(missing) - number)
        print(f"[{number}/{len(missing)}{to_go(left)}] {run.title} -> {path}", flush=True)


def diagnose(finished: FinishedRun, load: Callable[..., TaskData]) -> dict[str, Any]:
    """All there is to say about a finished run.

    Args:
        finished: The run.
        load: :func:`benchmarks.data.splits.load_task` without its source.

    Returns:
        What :class:`benchmarks.records.measurements.Diagnosis` reads, of tensors still.
    """
    run, model = finished.run, finished.model
    trained, scored, batch = _prepare(finished, load)
    cost = inference(finished, batch(scored))
    model.float()  # on an accelerator the backbone may be held in half precision
    layers = dict(model.backbone.layers())
    factors, middle = {name: wide(layer.factors()) for name, layer in layers.items()}, list(layers)[len(layers) // 2]
    of_method = (
        of_mtl_lora(layers, build_model(run, finished.suite, finished.source)) if run.method.name == MTLLoRA.name else {}
    )
    gradients = torch.stack([gradient(model, rows, batch) for rows in trained.values()]).double()
    inputs = {task: mean_inputs(model, layers[middle], rows, batch) for task, rows in trained.items()}
    return {
        "schema": DIAGNOSIS,
        "id": run.id,
        "rows": max(map(len, trained.values())),
        "tasks": list(run.tasks),
        "layers": list(layers),
        "gradient_cosine": cosines(gradients @ gradients.T),
        "update_overlap": update_overlap(list(factors.values()), len(run.tasks)),
        **of_method,
        "separation": {"layer": middle, **separation(factors[middle], inputs)},
        "inference": cost,
        "environment": plain(environment()),
    }


def _prepare(finished: FinishedRun, load: Callable[..., TaskData]) -> tuple[dict[str, list[dict]], list[dict], Batch]:
    """The first training rows of each task, scored rows of the first task, and what makes a batch of rows, as in the run."""
    run, tokenizer, mode = finished.run, finished.tokenizer, read_answer_mode(finished.run.answering)
    suite = finished.suite if run.conflict is None else finished.suite.with_conflict(run.conflict)
    data = []
    for task in suite.select(run.tasks):
        rows = load(task, split=run.split, max_train=run.max_train, max_test=run.max_eval)
        if rows.fingerprint != run.data[task.name]:
            why = "its file has changed" if task.local else "give the --mirror it had"
            raise InvalidInput(f"the rows of task {task.name} are not those of run {run.id}: {why}")
        train, test = rows.train, rows.test
        data.append(replace(rows, train=train.take(min(ROWS, len(train))), test=test.take(min(AT_ONCE, len(test)))))
    train, test = encode(data, tokenizer, mode, run.backbone.max_length)
    collator = Collator(mode, tokenizer, features_for(data, mode, finished.source, train, test))
    device = next(finished.model.parameters()).device
    trained: dict[str, list[dict]] = {name: [] for name in run.tasks}
    for row in train:
        trained[run.tasks[row["task_ids"]]].append(row)
    scored = [row for row in test if row["task_ids"] == 0]
    return trained, scored, lambda rows: {name: tensor.to(device) for name, tensor in collator(rows).items()}


def _plain(value: Any) -> Any:
    """What JSON can hold: lists of tensors, six digits of a number, None for NaN."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value

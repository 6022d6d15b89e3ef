"""Looks inside finished runs: do their tasks pull together, what does each get of the adapters, what do adapters cost?

This needs the data and the trained tensors; what is written here is all that reports read.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.references import HeadsOnly
from benchmarks.analysis.geometry import cosines, of_mtl_lora, separation, update_overlap, wide
from benchmarks.analysis.inference import FinishedRun
from benchmarks.answering.base import TaskModel
from benchmarks.answering.registry import read_answer_mode
from benchmarks.data.splits import TaskData, load_task
from benchmarks.experiment.methods import order_for_display
from benchmarks.progress import duration
from benchmarks.records.config import MethodConfig, RunConfig, plain
from benchmarks.records.environment import environment, forget_memory
from benchmarks.records.measurements import DIAGNOSIS
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore, write_whole
from benchmarks.sources import Source
from benchmarks.speed.measure import ratio
from benchmarks.suites import all_suites
from benchmarks.training.batches import Collator, encode, features_for
from benchmarks.training.model import build_model
from mtl_lora import METHODS, AdaptedLinear, InvalidInput, MTLLoRA

ROWS = 64  # a task, of its training rows
AT_ONCE = 32  # rows
WARM_UP, ROUNDS = 2, 7

Batch = Callable[[list[dict[str, Any]]], dict[str, Tensor]]


def diagnose_runs(store: RunStore, run_ids: Sequence[str], source: Source) -> None:
    """Write the diagnosis of each of these runs that has none yet; of every run that can be looked into, where none is
    named."""
    runs = _chosen(store, run_ids)
    missing = [run for run in runs if not store.diagnosis_path(run.id).exists()]
    done = len(runs) - len(missing)
    print(f"{len(runs)} runs, {done} diagnosed already; diagnoses in {store.folder / 'diagnoses'}", flush=True)
    load, start = cache(partial(load_task, source=source)), time.monotonic()
    for number, run in enumerate(missing, 1):
        forget_memory()
        text = json.dumps(_plain(diagnose(FinishedRun.open(store, run.id, source), load))) + "\n"
        path = store.diagnosis_path(run.id)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
        left = (time.monotonic() - start) / number * (len(missing) - number)
        estimate = f", about {duration(left)} left" if left else ""
        print(f"[{number}/{len(missing)}{estimate}] {run.title} -> {path}", flush=True)


def _chosen(store: RunStore, run_ids: Sequence[str]) -> list[RunConfig]:
    """The runs of these ids, all of them looked at before anything is done; where none is named, every one that can be
    looked into, with a line for what cannot."""
    if run_ids:
        return [_named(store, run_id) for run_id in dict.fromkeys(run_ids)]
    found, skipped = [], Counter[str]()
    for record in store.readable():
        if not isinstance(record, RunRecord) or record.config.stage == "trial":
            continue
        why = _obstacle(record)
        if why is None and not store.trained_path(record.id).exists():
            why = "without their trained tensors"
        if why is None:
            found.append(record.config)
        else:
            skipped[why] += 1
    if not found:
        raise InvalidInput(f"{store.folder / 'runs'} holds no run of an adapter with its trained tensors beside it")
    for why, count in skipped.items():
        print(f"skipped: {count} runs {why}", file=sys.stderr)
    return found


def _named(store: RunStore, run_id: str) -> RunConfig:
    """The run of an id; InvalidInput where it cannot be looked into."""
    record = store.get(run_id)
    if why := _obstacle(record):
        kinds = {name: kind for name, kind in METHODS.items() if kind().shapes(1, 1, 1) and not kind.routes_by_token}
        raise InvalidInput(f"run {run_id} is {why}; diagnosed are runs of {', '.join(order_for_display(kinds))}")
    if not store.trained_path(run_id).exists():
        raise InvalidInput(f"{store.trained_path(run_id)} is missing: only trained tensors can be looked into")
    return record.config


def _obstacle(record: RunRecord) -> str | None:
    """Why a run cannot be diagnosed, whatever lies beside its record; None where it can."""
    method, suite = record.config.method, record.config.suite
    if method.name not in METHODS:
        return f"of {method.name}, a method that is unknown here"
    if record.own_suite is None and suite not in all_suites():
        return f"of {suite}, a suite that is unknown here"
    if not record.parameters.adapter:
        return f"of {method.label}, which trains no adapter"
    if METHODS[method.name].routes_by_token:
        return f"of {method.label}, which routes by token, so no task of it is one update"
    return None


def diagnose(finished: FinishedRun, load: Callable[..., TaskData]) -> dict[str, Any]:
    """All there is to say about a finished run. load: :func:`benchmarks.data.splits.load_task` without its source."""
    run, model = finished.run, finished.model
    trained, scored, batch = _prepare(finished, load)
    cost = inference(finished, batch(scored))
    model.float()  # on an accelerator the backbone may be held in half precision
    layers = dict(model.backbone.layers())
    factors, middle = {name: wide(layer.factors()) for name, layer in layers.items()}, list(layers)[len(layers) // 2]
    own = of_mtl_lora(layers, build_model(run, finished.suite, finished.source)) if run.method.name == MTLLoRA.name else {}
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
        **own,
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


def gradient(model: TaskModel, rows: list[dict[str, Any]], batch: Batch) -> Tensor:
    """The gradient of the mean loss over rows with respect to all adapter parameters, as one vector."""
    adapters, total = list(model.backbone.adapter_parameters().values()), torch.zeros(())
    for part in _parts(rows, AT_ONCE):
        loss = model(**batch(part))["loss"] * len(part) / len(rows)
        total = total + torch.cat([g.flatten() for g in torch.autograd.grad(loss, adapters)]).cpu()
    return total


def _parts(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


@torch.no_grad()
def mean_inputs(model: TaskModel, layer: AdaptedLinear, rows: list[dict[str, Any]], batch: Batch) -> Tensor:
    """What the layer reads of each row, the mean over its tokens (rows, d_in) in float64.

    Tokens are those of the pass's attention mask; where the layer reads a sequence of another length, all of its places.
    """
    masks, sums, counts = [], [], []

    def note(_: nn.Module, args: tuple, options: dict[str, Any]) -> None:
        masks.append(options["attention_mask"])

    def keep(_: nn.Module, args: tuple[Tensor]) -> None:
        x = args[0].reshape(len(args[0]), -1, args[0].shape[-1]).double()
        mask = masks[-1].to(x) if masks[-1].shape == x.shape[:2] else x.new_ones(x.shape[:2])
        sums.append((x * mask[:, :, None]).sum(1).cpu())
        counts.append(mask.sum(1).cpu())

    # Several texts of a row are read in an order of their own, and a decoder's words are not those of the mask.
    alone = model.backbone.config.is_encoder_decoder or "texts" in batch(rows[:1])
    means = []
    with model.backbone.base.register_forward_pre_hook(note, with_kwargs=True), layer.register_forward_pre_hook(keep):
        for part in _parts(rows, 1 if alone else AT_ONCE):
            model(**batch(part))
            total, count = (torch.cat(own).unflatten(0, (len(part), -1)).sum(1) for own in (sums, counts))
            means.append(total / count[:, None])
            sums.clear()
            counts.clear()
    return torch.cat(means)


@torch.no_grad()
def inference(finished: FinishedRun, batch: dict[str, Tensor]) -> dict[str, Any]:
    """Milliseconds of a forward pass over a batch of the first task, as rows are scored: by the backbone without adapters,
    by the model as it was trained, and with the task merged. In turn, so that a slow moment hits all alike."""
    run, own = finished.run, finished.model
    device, task = next(own.parameters()).device, run.tasks[0]
    untouched = replace(run, method=MethodConfig(HeadsOnly.name, HeadsOnly.name, settings={}))
    base = build_model(untouched, finished.suite, finished.source).to(device).eval()
    base.backbone.unload(task)
    for model in (base, own):  # whoever writes, writes as much
        writing = getattr(model.backbone.base, "generation_config", None)
        if writing is not None:
            writing.min_new_tokens = writing.max_new_tokens
    seconds: dict[str, list[float]] = {"base": [], "unmerged": [], "merged": []}
    with torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        for _ in range(WARM_UP + ROUNDS):
            seconds["base"].append(_seconds(base, batch))
            seconds["unmerged"].append(_seconds(own, batch))
            own.backbone.merge(task)
            seconds["merged"].append(_seconds(own, batch))
            own.backbone.unmerge()
    timed = {name: values[WARM_UP:] for name, values in seconds.items()}
    return {
        "rows": len(batch["task_ids"]),
        **{f"{name}_ms": 1e3 * statistics.median(values) for name, values in timed.items()},
        **{f"{name}_ratio": ratio(timed[name], timed["base"]) for name in ("unmerged", "merged")},
        "repeats": ROUNDS,
    }


def _seconds(model: TaskModel, batch: dict[str, Tensor]) -> float:
    start = time.perf_counter()
    model(**batch)["predictions"].cpu()  # waits for the device
    return time.perf_counter() - start


def _plain(value: Any) -> Any:
    """What JSON can hold: lists of tensors, six digits of a number, None for NaN."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value

"""What passes through a trained model tell: gradients, what a layer reads, how long inference takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from baselines.references import HeadsOnly
from benchmarks.analysis.inference import FinishedRun
from benchmarks.answering.base import TaskModel
from benchmarks.records.config import MethodConfig
from benchmarks.speed.measure import ratio
from benchmarks.training.model import build_model
from mtl_lora import AdaptedLinear

AT_ONCE = 32  # rows of a pass
WARM_UP, ROUNDS = 2, 7

Batch = Callable[[list[dict[str, Any]]], dict[str, Tensor]]


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
            total, count = (torch.cat(parts).unflatten(0, (len(part), -1)).sum(1) for parts in (sums, counts))
            means.append(total / count[:, None])
            sums.clear()
            counts.clear()
    return torch.cat(means)


@torch.no_grad()
def inference(finished: FinishedRun, batch: dict[str, Tensor]) -> dict[str, Any]:
    """Milliseconds of a forward pass over a batch of the first task, as rows are scored: by the backbone without adapters,
    by the model as it was trained, and with the task merged. In turn, so that a slow moment hits all alike."""
    run, trained = finished.run, finished.model
    device, task = next(trained.parameters()).device, run.tasks[0]
    untouched = replace(run, method=MethodConfig(HeadsOnly.name, HeadsOnly.name, settings={}))
    base = build_model(untouched, finished.suite, finished.source).to(device).eval()
    base.backbone.unload(task)
    for model in (base, trained):  # whoever writes, writes as much
        writing = getattr(model.backbone.base, "generation_config", None)
        if writing is not None:
            writing.min_new_tokens = writing.max_new_tokens
    seconds: dict[str, list[float]] = {"base": [], "unmerged": [], "merged": []}
    with torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        for _ in range(WARM_UP + ROUNDS):
            seconds["base"].append(_seconds(base, batch))
            seconds["unmerged"].append(_seconds(trained, batch))
            trained.backbone.merge(task)
            seconds["merged"].append(_seconds(trained, batch))
            trained.backbone.unmerge()
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

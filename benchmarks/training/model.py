"""The model of a run: one backbone, one set of adapters, and what answers on top of them."""

from __future__ import annotations

import torch

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import TaskModel
from benchmarks.experiment.protocols import answer_mode_of
from benchmarks.records.config import RunConfig
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from mtl_lora import AdaptedModel, find_method


def build_model(run: RunConfig, source: Source) -> TaskModel:
    """The model of a run at its start: pretrained backbone, adapters and heads from the run's seed."""
    tasks = find_suite(run.suite).select(list(run.tasks))
    method = find_method(run.method.name)(**run.method.settings)
    mode = answer_mode_of(run)
    # On an accelerator weights are held in half precision where all are frozen; on a CPU autocast alone is faster.
    frozen = not method.trains_base and not mode.trains_base
    half = run.precision == "bfloat16" and torch.cuda.is_available() and frozen
    dtype = torch.bfloat16 if half else torch.float32
    backbone = source.model(run.backbone.id, run.backbone.revision, dtype, mode.language)
    backbone.config.use_cache = False
    adapted = AdaptedModel(backbone, method, run.tasks, run.backbone.targets, seed=run.seed)
    return mode.model(adapted, tasks, run.backbone.pooling, run.seed)

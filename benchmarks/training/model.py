"""The model of a run: one backbone, one set of adapters, and what answers on top of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import TaskModel
from benchmarks.experiment.protocols import answer_mode_of
from benchmarks.records.config import RunConfig
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from mtl_lora import AdaptedModel, find_method


class FrozenBackbone:
    """The backbone that one run after another adapts: loaded once, as long as it stays the same one."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple, nn.Module] | None = None

    def get(self, source: Source, *model: Any) -> nn.Module:
        """What :meth:`Source.model` gives. Its modules are new ones, which may be changed; their weights are shared."""
        wanted = (source, *model)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # never two of them in memory
            self._loaded = wanted, source.model(*model)
        backbone = self._loaded[1]
        return copy.deepcopy(backbone, {id(weight): weight for weight in backbone.parameters()})


def build_model(run: RunConfig, source: Source, frozen_backbone: FrozenBackbone | None = None) -> TaskModel:
    """The model of a run at its start: pretrained backbone, adapters and heads from the run's seed.

    frozen_backbone: where one is kept for runs that do not train it.
    """
    tasks = find_suite(run.suite).select(list(run.tasks))
    method = find_method(run.method.name)(**run.method.settings)
    mode = answer_mode_of(run)
    # On an accelerator weights are held in half precision where all are frozen; on a CPU autocast alone is faster.
    frozen = not method.trains_base and not mode.trains_base
    half = run.precision == "bfloat16" and torch.cuda.is_available() and frozen
    dtype = torch.bfloat16 if half else torch.float32
    load = frozen_backbone.get if frozen_backbone and frozen else Source.model
    backbone = load(source, run.backbone.id, run.backbone.revision, dtype, mode.language)
    backbone.config.use_cache = False
    adapted = AdaptedModel(backbone, method, run.tasks, run.backbone.targets, seed=run.seed)
    return mode.model(adapted, tasks, run.backbone.pooling, run.seed)

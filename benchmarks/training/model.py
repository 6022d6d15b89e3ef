"""The model of a run: one backbone, one set of adapters, and what answers on top of them."""

from __future__ import annotations

import copy
import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import TaskModel
from benchmarks.answering.registry import read_answer_mode
from benchmarks.records.config import RunConfig
from benchmarks.sources import Source
from benchmarks.suites.spec import Suite
from mtl_lora import AdaptedModel, find_method


def method_source(name: str) -> str:
    """sha256 of the file that a method is in."""
    return hashlib.sha256(Path(inspect.getfile(find_method(name))).read_bytes()).hexdigest()


class FrozenBackbone:
    """The backbone that one run after another adapts: loaded once, as long as it stays the same one."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple, PreTrainedModel] | None = None

    def get(self, source: Source, *model: Any) -> PreTrainedModel:
        """What :meth:`Source.model` gives. Its modules are new ones, which may be changed; their weights are shared."""
        wanted = (source, *model)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # never two of them in memory
            self._loaded = wanted, source.model(*model)
        backbone = self._loaded[1]
        return copy.deepcopy(backbone, {id(weight): weight for weight in backbone.parameters()})


def build_model(run: RunConfig, suite: Suite, source: Source, frozen_backbone: FrozenBackbone | None = None) -> TaskModel:
    """The model of a run on a suite at its start: pretrained backbone, adapters and heads from the run's seed.

    Args:
        run: Says which model.
        suite: Of the run.
        source: Where the backbone is from.
        frozen_backbone: Where one is kept for runs that do not train it.
    """
    tasks = suite.select(run.tasks)
    assert tuple(task.name for task in tasks) == run.tasks, "a task's id is its place in the suite's order"
    settings: dict[str, Any] = run.method.settings
    method = find_method(run.method.name)(**settings)
    mode = read_answer_mode(run.answering)
    # On an accelerator weights are held in half precision where all are frozen; on a CPU autocast alone is faster.
    frozen = not method.trains_base and not mode.trains_base
    half = run.precision == "bfloat16" and torch.cuda.is_available() and frozen
    dtype = torch.bfloat16 if half else torch.float32
    load = frozen_backbone.get if frozen_backbone and frozen else Source.model
    backbone = load(source, run.backbone.id, run.backbone.revision, dtype, mode.language, run.backbone.quantise)
    backbone.config.use_cache = False
    adapted = AdaptedModel(backbone, method, run.tasks, run.backbone.targets, seed=run.seed)
    return mode.model(adapted, tasks, run.backbone.pooling, run.seed)

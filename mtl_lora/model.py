"""Adapting a model: find its linear layers, replace them, freeze the rest, count what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lora.context import TaskContext
from mtl_lora.errors import InvalidInput
from mtl_lora.layer import AdaptedLinear, generator, new_parameters
from mtl_lora.method import Method

ALL_LINEAR = "all-linear"


class AdaptedModel(nn.Module):
    """A model whose target layers are adapted by ``method`` for ``tasks``; everything else is frozen.

    base: any model of ``nn.Linear`` layers; it is changed in place. targets: names of linear modules, matched at
    the end of their path ("query", "attention.self.query"), or ["all-linear"] for all but the output embedding.
    A new head is unfrozen by the caller: ``model.base.classifier.requires_grad_(True)``.
    seed: fixes every start value, each tensor by its own name.

        model = AdaptedModel(base, MTLLoRA(rank=8), tasks=["cola", "sst2"], targets=["query", "value"])
        loss = model(**batch, task_ids=task_ids).loss
    """

    def __init__(self, base: nn.Module, method: Method, tasks: Sequence[str], targets: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        layers = target_layers(base, targets)
        base.requires_grad_(False)
        self.base = base
        self.method = method
        self.merged: str | None = None
        self.context = TaskContext(tasks)
        weight = next(iter(layers.values())).weight
        self.shared = new_parameters(method.shared_shapes(len(tasks)), weight)
        if not weight.is_meta:
            with torch.no_grad():
                method.initialise_shared(self.shared, lambda tensor: generator(seed, "shared", tensor))
        for name, layer in layers.items():
            parent, _, child = name.rpartition(".")
            adapted = AdaptedLinear(layer, method, self.context, self.shared, seed, name)
            setattr(base.get_submodule(parent), child, adapted)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks; a task's id is its place here."""
        return self.context.tasks

    def layers(self) -> Iterator[tuple[str, AdaptedLinear]]:
        """The adapted layers, by their path in the base model."""
        return ((name, module) for name, module in self.base.named_modules() if isinstance(module, AdaptedLinear))

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' tensors by name: what is optimised, saved and counted."""
        own = {id(p) for module in (self.shared, *(layer.adapter for _, layer in self.layers())) for p in module.values()}
        return {name: parameter for name, parameter in self.named_parameters() if id(parameter) in own}

    def count(self) -> int:
        """The number of the adapters' parameters."""
        return sum(parameter.numel() for parameter in self.adapter_parameters().values())

    def use_tasks(self, tasks: Tensor | Sequence[int | str]) -> AbstractContextManager[None]:
        """A context in which every forward pass uses these tasks, one a sample: ids (samples,) or names."""
        if self.merged is not None and any(self.context.index(task) != self.tasks.index(self.merged) for task in tasks):
            raise InvalidInput(f"task {self.merged} is merged into the base: unmerge() before using other tasks")
        return self.context(tasks, next(self.base.parameters()).device)

    def forward(self, *args: Any, task_ids: Tensor | Sequence[int | str] | None = None, **kwargs: Any) -> Any:
        """The base model's forward pass; ``task_ids`` as in :meth:`use_tasks`, unless called inside that context."""
        if task_ids is None:
            return self.base(*args, **kwargs)
        batch = next((value for value in [*args, *kwargs.values()] if isinstance(value, Tensor)), None)
        if batch is not None and len(batch) != len(task_ids):
            raise InvalidInput(f"{len(task_ids)} task ids do not fit a batch of {len(batch)}: give one id a sample")
        with self.use_tasks(task_ids):
            return self.base(*args, **kwargs)

    def generate(self, *args: Any, task_ids: Tensor | Sequence[int | str] | None = None, **kwargs: Any) -> Any:
        """The base model's ``generate``, each prompt with its own task; beams and returned sequences follow it."""
        if task_ids is None:
            return self.base.generate(*args, **kwargs)
        with self.use_tasks(task_ids):
            return self.base.generate(*args, **kwargs)

    def merge(self, task: str, check: Mapping[str, Any] | None = None) -> float | None:
        """Put one task into the base weights, so that it runs at the cost of the base model alone.

        check: inputs of a forward pass; the largest absolute difference that merging makes to its first output is
        returned. In float32 it is rounding; in half precision, where the sum is rounded to the base's dtype, more.
        """
        if self.merged is not None:
            raise InvalidInput(f"task {self.merged} is merged already: unmerge() first")
        index = self.context.index(task)
        before = self._first_output(check, task)
        for _, layer in self.layers():
            layer.merge(index)
        self.merged = self.tasks[index]
        if before is None:
            return None
        return (self._first_output(check, task) - before).abs().max().item()

    def unmerge(self) -> None:
        """Take the merged task out again; the base weights are what they were, bit for bit."""
        if self.merged is None:
            raise InvalidInput("no task is merged")
        for _, layer in self.layers():
            layer.unmerge()
        self.merged = None

    def unload(self, task: str) -> nn.Module:
        """The base model with one task merged in for good and no trace of adapters left."""
        self.merge(task)
        for name, layer in list(self.layers()):
            parent, _, child = name.rpartition(".")
            setattr(self.base.get_submodule(parent), child, layer.base)
        return self.base

    @torch.no_grad()
    def _first_output(self, inputs: Mapping[str, Any] | None, task: str) -> Tensor | None:
        if inputs is None:
            return None
        samples = len(next(value for value in inputs.values() if isinstance(value, Tensor)))
        return self(**inputs, task_ids=[task] * samples)[0].float()

    def __getattr__(self, name: str) -> Any:
        """What this wrapper lacks is the base model's: config, generate, gradient_checkpointing_enable, ..."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base":
                raise
            return getattr(self.base, name)


def target_layers(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers that ``targets`` name, by path. InvalidInput where a target names none, or none that can be."""
    modules = dict(model.named_modules())
    linear = {name: module for name, module in modules.items() if _is_plain_linear(module)}
    known = sorted({name.rpartition(".")[2] for name in linear})
    if any(isinstance(module, AdaptedLinear) for module in modules.values()):
        raise InvalidInput("the model is adapted already: load the base model again")
    if list(targets) == [ALL_LINEAR]:
        output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        found = {name: module for name, module in linear.items() if module is not output}
        if not found:
            raise InvalidInput(f"{type(model).__name__} has no torch.nn.Linear layer to adapt")
        return found
    found = {}
    for target in targets:
        named = [name for name in modules if name == target or name.endswith(f".{target}")]
        refused = next((name for name in named if name not in linear), None)
        if refused is not None:
            kind = type(modules[refused]).__name__
            raise InvalidInput(f"target module {target!r}: {refused} is a {kind}, and only torch.nn.Linear can be adapted")
        if not named:
            hint = f"its linear layers: {', '.join(known)}" if known else "it has no torch.nn.Linear layer"
            raise InvalidInput(f"target module {target!r} is not in {type(model).__name__}; {hint} (or {ALL_LINEAR})")
        found |= {name: linear[name] for name in named}
    if not found:
        raise InvalidInput(f"no target modules given; {type(model).__name__} has: {', '.join(known)} (or {ALL_LINEAR})")
    return {name: found[name] for name in linear if name in found}


def target_dims(model: nn.Module, targets: Sequence[str]) -> list[tuple[int, int]]:
    """(d_in, d_out) of each layer that ``targets`` name."""
    return [(layer.in_features, layer.out_features) for layer in target_layers(model, targets).values()]


def _is_plain_linear(module: nn.Module) -> bool:
    # nn.MultiheadAttention reads the weight of its output layer without calling it.
    return isinstance(module, nn.Linear) and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)

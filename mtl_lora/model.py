"""Adapting a model: replace its target layers, freeze the rest, count what is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lora.context import TaskContext
from mtl_lora.errors import InvalidInput
from mtl_lora.files import (
    LAYER,
    Adapted,
    describe,
    read_trained,
    refuse_other,
    take_over,
    tensors_with_a_row_per_task,
)
from mtl_lora.inputs import BATCH_INPUTS, Args, Kwargs, as_forward, batch_of, with_inputs_of
from mtl_lora.layer import AdaptedLinear, generator, new_parameters, refuse_merged
from mtl_lora.method import Method, find_method
from mtl_lora.rows import prove_rows
from mtl_lora.targets import ALL_LINEAR, left_out, target_layers, target_names
from mtl_lora.tasks import require_all
from mtl_lora.tied import name_once, name_twice
from mtl_lora.weights import is_quantised, matrix


class AdaptedModel(Adapted):
    """A model whose target layers are adapted by ``method`` for ``tasks``; everything else is frozen.

        model = AdaptedModel(base, MTLLoRA(rank=8), tasks=["cola", "sst2"], targets=["query", "value"])
        loss = model(**batch, task_ids=task_ids).loss

    A new head is unfrozen by the caller: ``model.base.classifier.requires_grad_(True)``.

    Args:
        base: Any model of ``nn.Linear`` layers; it is changed in place.
        method: One with its settings.
        tasks: Their names; a task's id is its place here.
        targets: Names of linear modules, matched at the end of their path ("query", "attention.self.query"), or
            "all-linear" for all but the output embedding.
        seed: Fixes every start value, each tensor by its own name.

    Raises:
        InvalidInput: Where one of these is none, or a layer cannot be adapted; the base is then as it was.
    """

    def __init__(
        self, base: nn.Module, method: Method, tasks: Sequence[str], targets: Sequence[str] | str, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(method, Method):
            raise InvalidInput(f"method must be one with its settings, such as MTLLoRA(rank=8), not {method!r}")
        targets = target_names(targets)
        layers = target_layers(base, targets)
        self.context = TaskContext(tasks)
        if method.trains_base and (held := next((n for n, p in base.named_parameters() if is_quantised(p)), None)):
            raise InvalidInput(f"{held} is quantised and stays frozen, so {method.name} cannot train it")
        if targets == [ALL_LINEAR] and (unadapted := left_out(base)):
            warnings.warn(unadapted, stacklevel=2)
        self.base: Any = base  # an nn.Module; what else it can do is called too, where it is a model of transformers
        self.method = method
        self.merged: str | None = None
        weight = matrix(next(iter(layers.values())))
        self.shared = new_parameters(method.shared_shapes(len(tasks)), weight)
        if not weight.is_meta:
            with torch.no_grad():
                method.initialise_shared(dict(self.shared), lambda tensor: generator(seed, "shared", tensor))
        adapted = {
            name: AdaptedLinear(layer, method, self.context, self.shared, seed, name) for name, layer in layers.items()
        }
        base.requires_grad_(method.trains_base)  # from here on nothing is refused
        for name, layer in adapted.items():
            parent, _, child = name.rpartition(".")
            setattr(base.get_submodule(parent), child, layer)
        self.train(base.training)
        self.register_load_state_dict_pre_hook(refuse_merged)  # type: ignore[no-untyped-call] # before any layer is read
        self.register_load_state_dict_pre_hook(name_twice)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(name_once)  # type: ignore[no-untyped-call]
        vars(self)["forward"] = with_inputs_of(base, self.forward)
        self.context.keep_in_checkpoints(self.base)

    @classmethod
    def from_trained(
        cls, base: nn.Module, path: Path | str, new_tasks: Sequence[str] = (), freeze: bool = False
    ) -> AdaptedModel:
        """The base adapted as a file of :func:`save_trained` says: its method, tasks and layers, with what was trained.

        Args:
            base: The model that the file was trained on, not adapted.
            path: The file, of an adapted model alone (one with heads around it is built first, then ``load_trained``).
            new_tasks: Tasks added behind those of the file; what a method has for each task starts as in a new model.
            freeze: Train nothing but what belongs to the new tasks. The rows of old tasks get no gradient; an optimiser
                that decays weights would still shrink them, so give it a weight decay of 0.

        Raises:
            InvalidInput: Where file and base do not belong together, or the method has no row for each task.
        """
        held, tensors = read_trained(path)
        settings = dict(held["method"])
        method = find_method(settings.pop("name"))(**settings)
        layers = dict.fromkeys(match[1] for name in tensors if (match := LAYER.match(name)))
        if not layers:
            raise InvalidInput(
                f"{path} is of more than an adapted model: build the model it was saved from, and load_trained"
            )
        rows = tensors_with_a_row_per_task(method) if new_tasks else set()
        model = cls(base, method, [*held["tasks"], *new_tasks], list(layers))
        refuse_other(path, held, describe(model) | {"tasks": held["tasks"]})
        take_over(model, tensors, rows, len(held["tasks"]), freeze, path)
        return model

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks; a task's id is its place here."""
        return self.context.names.tasks

    @property
    def quantised(self) -> str | None:
        """The first adapted layer whose base weight is quantised, so that nothing is merged into it; None where none is."""
        return next((name for name, layer in self.layers() if is_quantised(layer.weight)), None)

    def layers(self) -> Iterator[tuple[str, AdaptedLinear]]:
        """The adapted layers, by their path in the base model."""
        return ((name, module) for name, module in self.base.named_modules() if isinstance(module, AdaptedLinear))

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' tensors by name: what is optimised, saved and counted."""
        adapters = {
            id(p) for module in (self.shared, *(layer.adapter for _, layer in self.layers())) for p in module.values()
        }
        return {name: parameter for name, parameter in self.named_parameters() if id(parameter) in adapters}

    def rate_factors(self) -> dict[str, float]:
        """How many times the learning rate each of the adapters' tensors gets, by the names of adapter_parameters."""
        return {name: self.method.rate_factor(name.rpartition(".")[2]) for name in self.adapter_parameters()}

    def penalty(self) -> Tensor | None:
        """What the method adds to the loss, for the training passes since this was last called: the mean over layers.

        Returns:
            A scalar; None for the many methods that add nothing.

        Raises:
            InvalidInput: Where no such pass was made with gradients, as under reentrant gradient checkpointing.
        """
        if not self.method.penalises:
            return None
        if not (values := self.context.take_penalties()):
            raise InvalidInput(
                f"{self.method.name} adds to the loss, and no training pass with gradients was made: call the model in "
                "training first, and checkpoint activations with use_reentrant=False"
            )
        return torch.stack(values).mean()

    def count(self) -> int:
        """The number of the adapters' parameters."""
        return sum(parameter.numel() for parameter in self.adapter_parameters().values())

    def use_tasks(self, tasks: Tensor | Sequence[int | str]) -> AbstractContextManager[None]:
        """A context in which every forward pass uses these tasks, one per sample: ids (samples,) or names."""
        ids = self.context.names.ids(tasks)
        if self.merged is not None:
            other = f"task {self.merged} is merged into the base: unmerge() before using other tasks"
            require_all(ids == self.context.names.index(self.merged), other)
        return self.context(ids, next(self.base.parameters()).device)

    def forward(self, *args: Any, task_ids: Tensor | Sequence[int | str] | None = None, **kwargs: Any) -> Any:
        """The base model's forward pass; ``task_ids`` as in :meth:`use_tasks`, unless called inside that context.

        Ids that lie on an accelerator already are not looked at here: a wrong one ends in the device's own assertion.
        The first batch of several tasks takes two more passes, which prove whose rows each layer is given (see
        :func:`mtl_lora.rows.prove_rows`); a model that is compiled must have seen one before.
        """
        with self._tasks_of_batch(args, kwargs, task_ids), self.context.refuse_unused():
            output = self.base(*args, **kwargs)
            if self.context.unproven():
                self._prove_rows(args, kwargs)
        return output

    @torch.no_grad()
    def generate(self, *args: Any, task_ids: Tensor | Sequence[int | str] | None = None, **kwargs: Any) -> Any:
        """The base model's ``generate``, each prompt with its own task; beams and returned sequences follow it."""
        with self._tasks_of_batch(args, kwargs, task_ids):
            output = self.base.generate(*args, **kwargs)
            if self.context.unproven():
                self._prove_rows((), as_forward(self.base, len(self.context.one_hot()), *args, **kwargs))
        return output

    def _tasks_of_batch(self, args: Args, kwargs: Kwargs, task_ids: Any) -> AbstractContextManager[None]:
        if task_ids is None:
            return nullcontext()
        batch, ids = batch_of(args, kwargs), self.context.names.ids(task_ids)
        if batch is not None and len(batch) != len(ids):
            raise InvalidInput(f"{len(ids)} task ids do not fit a batch of {len(batch)}: give one id per sample")
        return self.use_tasks(ids)

    def _prove_rows(self, args: Args, kwargs: Kwargs) -> None:
        """Make sure that in the pass just made each row had the task of its sample; InvalidInput otherwise."""
        batch, layers = batch_of(args, kwargs), self.context.unproven()
        length = len(self.context.one_hot() if batch is None else batch)
        prove_rows(self.base, self.context, list(dict.fromkeys(layers)), length, args, kwargs)
        layers.clear()

    def activation_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """The base model's; each recomputation gets the task ids of its own forward pass."""
        self.base.activation_checkpointing_enable(*args, **kwargs)
        self.context.keep_in_checkpoints(self.base)

    def gradient_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """The older name of :meth:`activation_checkpointing_enable`."""
        self.base.gradient_checkpointing_enable(*args, **kwargs)
        self.context.keep_in_checkpoints(self.base)

    def merge(self, task: str, check: Mapping[str, Any] | None = None) -> float | None:
        """Put one task into the base weights, so that it runs at the cost of the base model alone.

        Args:
            task: The name of the task.
            check: Inputs of a forward pass, before and after.

        Returns:
            The largest absolute difference that merging makes to the first output of that pass; None without one. In
            float32 it is rounding; in half precision, where the sum is rounded to the base's dtype, more.

        Raises:
            InvalidInput: There is no such task, one is merged already, the base is quantised, or the method routes by token.
        """
        if self.merged is not None:
            raise InvalidInput(f"task {self.merged} is merged already: unmerge() first")
        index = self.context.names.index(task)
        if quantised := self.quantised:
            raise InvalidInput(
                f"{quantised} of the base is quantised, so no task can be merged into it: use the adapted model, "
                "or export_peft"
            )
        before = None if check is None else self._first_output(check, task)
        for _, layer in self.layers():
            layer.merge(index)
        self.merged = self.tasks[index]
        if check is None or before is None:
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
        base: nn.Module = self.base
        return base

    def save_pretrained(self, *_: Any, **__: Any) -> None:
        """Refused: the base's own would write its layers under names that load at random."""
        raise InvalidInput(
            "an adapted model is saved by save_trained(model, file); "
            "unload(task).save_pretrained(folder) writes one task as a plain model"
        )

    push_to_hub = save_pretrained

    @torch.no_grad()
    def _first_output(self, inputs: Mapping[str, Any], task: str) -> Tensor:
        batch = batch_of((), inputs)
        if batch is None:
            raise InvalidInput(f"check must hold the inputs of a forward pass, one of {', '.join(BATCH_INPUTS)} among them")
        training = self.training
        output: Tensor = self.eval()(**inputs, task_ids=[task] * len(batch))[0].float()
        self.train(training)
        return output

    def __getattr__(self, name: str) -> Any:
        """What this wrapper lacks is the base model's: config, generate, gradient_checkpointing_enable, ..."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base":
                raise
            return getattr(self.base, name)

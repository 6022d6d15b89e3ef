"""Saving and loading what was trained: one safetensors file that says what it belongs to. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mtl_lora.errors import InvalidInput
from mtl_lora.method import Method
from mtl_lora.weights import dense

FORMAT = "mtl-lora trained tensors 2"  # 1 knew the base by its adapted layers alone
LAYER = re.compile(r"base\.(.+)\.adapter\.[^.]+$")  # a tensor of an adapted layer, and the path of the layer


class Adapted(nn.Module):
    """What a model with adapters says of itself, so that what it trained can be saved."""

    base: Any
    method: Method

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks; a task's id is its place here."""
        raise NotImplementedError

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' tensors by name: what is optimised, saved and counted."""
        raise NotImplementedError


def save_trained(model: nn.Module, path: Path | str) -> None:
    """Write the :func:`trained_tensors` of ``model`` (an AdaptedModel, or a module that holds one beside its heads).

    The file's metadata names the method with its settings, the tasks, and a fingerprint of the base weights.
    """
    metadata = {"format": FORMAT, "description": json.dumps(describe(model))}
    save_file({name: p.detach().contiguous() for name, p in trained_tensors(model).items()}, path, metadata)


def load_trained(model: nn.Module, path: Path | str) -> None:
    """Read a file of :func:`save_trained` into a model of the same method, tasks and base; InvalidInput otherwise."""
    trained = trained_tensors(model)
    held, tensors = read_trained(path)
    refuse_other(path, held, describe(model))
    differing = trained.keys() ^ tensors.keys() | {
        n for n in trained.keys() & tensors.keys() if trained[n].shape != tensors[n].shape
    }
    if differing:
        raise InvalidInput(f"{path} was made for other adapted layers or heads: {min(differing)} differs")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[name])


@torch.no_grad()
def take_over(
    model: Adapted, tensors: dict[str, Tensor], rows: set[str], known: int, freeze: bool, path: Path | str
) -> None:
    """Copy what was trained into a model that may have further tasks.

    Args:
        model: Of the same method on the same base.
        tensors: What the file holds.
        rows: Names of tensors with one row for each task, of which the first ``known`` are taken.
        known: How many tasks the file has; they are the model's first ones.
        freeze: Train nothing of the adapters but what belongs to the other tasks.
        path: Of the file, to name it.

    Raises:
        InvalidInput: Where a tensor is missing or has another shape.
    """
    parameters = model.adapter_parameters()
    by_task = {name for name in parameters if name.rpartition(".")[2] in rows}
    old = {name: p.detach()[:known] if name in by_task else p.detach() for name, p in parameters.items()}
    tensors = {name: tensor[:known] if name in by_task else tensor for name, tensor in tensors.items()}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if differing := {n for n in old.keys() | shapes.keys() if n not in old or shapes.get(n) != old[n].shape}:
        raise InvalidInput(f"{path} does not fit this base: {min(differing)} differs")
    for name, tensor in tensors.items():
        old[name].copy_(tensor)
    for name, parameter in parameters.items() if freeze else ():
        if name in by_task:
            parameter.register_hook(lambda gradient: torch.cat([torch.zeros_like(gradient[:known]), gradient[known:]]))
        else:
            parameter.requires_grad_(False)


def tensors_with_a_row_per_task(method: Method) -> set[str]:
    """Names of the trained tensors that have one row for each task; InvalidInput where tasks lie in tensors otherwise."""
    two, three = (method.shapes(2, 2, tasks) | method.shared_shapes(tasks) for tasks in (2, 3))
    differing = {name for name in two if two[name] != three[name]}
    if any((two[name][0] + 1, *two[name][1:]) != three[name] for name in differing):
        raise InvalidInput(f"{method.name} has no row for each task, so no task can be added to what was trained")
    return differing


def read_trained(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says it belongs to, and its tensors."""
    try:
        with safe_open(path, "pt") as file:
            return _description(path, file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} cannot be read as a safetensors file: {error}") from error


def describe(model: nn.Module) -> dict[str, Any]:
    """What trained tensors belong to: method and settings, tasks, base model."""
    adapted = next((module for module in model.modules() if isinstance(module, Adapted)), None)
    if adapted is None:
        raise InvalidInput(f"{type(model).__name__} holds no AdaptedModel, so there is nothing of it to save or load")
    return {
        "method": {"name": adapted.method.name, **dataclasses.asdict(adapted.method)},
        "tasks": list(adapted.tasks),
        "base": _fingerprint(adapted),
    }


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Adapters and other trained parameters by name, and what heads keep beside them: persistent buffers outside the
    adapted model."""
    adapted = [module for module in model.modules() if isinstance(module, Adapted)]
    inside = {id(b) for module in adapted for b in module.buffers()}
    adapters = {id(p) for module in adapted for p in module.adapter_parameters().values()}
    kept = model.state_dict(keep_vars=True)
    buffers = {name: b for name, b in model.named_buffers() if name in kept and id(b) not in inside}
    return {name: p for name, p in model.named_parameters() if p.requires_grad or id(p) in adapters} | buffers


def _description(path: Path | str, metadata: dict[str, str]) -> dict[str, Any]:
    """What :func:`describe` said when the file was written."""
    written = metadata.get("format", "")
    if not written.startswith(FORMAT[:-1]):
        raise InvalidInput(f"{path} holds no trained tensors of this format ({FORMAT})")
    if written != FORMAT:
        raise InvalidInput(
            f"{path} is of format {written!r}, which knew too little of its base model to be checked; "
            f"this version reads {FORMAT!r}: train again"
        )
    try:
        description = json.loads(metadata["description"])
        return {"method": {**description["method"]}, "tasks": [*description["tasks"]], "base": str(description["base"])}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} does not say what it belongs to: its metadata are damaged") from error


def refuse_other(path: Path | str, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    """InvalidInput, with what differs first, where a file is not of what is wanted; both as :func:`describe` says them."""
    kinds = (
        ("method", "another method", _settings),
        ("tasks", "other tasks", ", ".join),
        ("base", "another base model", str),
    )
    for what, other, say in kinds:
        if held[what] != wanted[what]:
            raise InvalidInput(f"{path} is of {other}: {say(held[what])}; the model has {say(wanted[what])}")


def _settings(method: dict[str, Any]) -> str:
    return " ".join([method["name"], *(f"{name}={value}" for name, value in method.items() if name != "name")])


def _fingerprint(model: Adapted) -> str:
    """A hash of every weight of the base that is not trained, the same in float32 and bfloat16."""
    digest = hashlib.sha256()
    adapters = {id(parameter) for parameter in model.adapter_parameters().values()}
    for name, weight in model.base.named_parameters():
        if not weight.requires_grad and id(weight) not in adapters:
            digest.update(f"{name} {tuple(weight.shape)} ".encode())
            digest.update(dense(weight.detach()).to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().data)
    return f"{type(model.base).__name__} {digest.hexdigest()[:16]}"

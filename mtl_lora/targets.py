"""Which layers of a model can be adapted: found by name, or all linear ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from mtl_lora.errors import InvalidInput
from mtl_lora.layer import AdaptedLinear

ALL_LINEAR = "all-linear"


def target_layers(model: nn.Module, targets: Sequence[str] | str) -> dict[str, nn.Linear]:
    """The linear layers that ``targets`` name, by path. InvalidInput where a target names none, or none that can be."""
    targets = target_names(targets)
    modules = dict(model.named_modules())
    if any(isinstance(module, AdaptedLinear) for module in modules.values()):
        raise InvalidInput("the model is adapted already: load the base model again")
    linear = {name: module for name, module in modules.items() if _is_linear(module) and not _bypassed(name, modules)}
    if targets == [ALL_LINEAR]:
        # Heads on top of the base model are not part of it; neither is the output embedding.
        inside = set(getattr(model, "base_model", model).modules())
        find_output = getattr(model, "get_output_embeddings", None)
        output = find_output() if find_output else None
        found = {name for name, module in linear.items() if module in inside and module is not output}
        if not found:
            raise InvalidInput(f"{type(model).__name__} has no torch.nn.Linear layer to adapt")
    else:
        found = _named(model, modules, linear, targets)
    for name in found:
        users = [other for other, p in model.named_parameters(remove_duplicate=False) if p is linear[name].weight]
        if len(users) > 1:
            raise InvalidInput(f"target module {name} shares its weight ({', '.join(users)}) and cannot be adapted")
    return {name: linear[name] for name in linear if name in found}


def target_dims(model: nn.Module, targets: Sequence[str] | str) -> list[tuple[int, int]]:
    """(d_in, d_out) of each layer that ``targets`` name."""
    return [(layer.in_features, layer.out_features) for layer in target_layers(model, targets).values()]


def target_names(targets: Sequence[str] | str) -> list[str]:
    """``targets`` as a list; InvalidInput where they are no names."""
    names = [targets] if isinstance(targets, str) else targets
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput(f"targets must be a list of module names or {ALL_LINEAR}, not {targets!r}")
    return list(names)


def stacked_weights(model: nn.Module) -> list[str]:
    """Matrices stacked in one parameter, such as those of a layer's experts: their paths, with * for the layer's number."""
    names = (
        f"{path}.{name}"
        for path, module in model.named_modules()
        if not isinstance(module, (nn.Conv1d, nn.ConvTranspose1d))
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() == 3 and min(parameter.shape) > 1
    )
    return sorted({re.sub(r"\.\d+\.", ".*.", name) for name in names})


@torch.no_grad()
def _is_linear(module: nn.Module) -> bool:
    """Whether a module computes W x + b from a floating weight, as Falcon's own class does and quantized ones do not."""
    if type(module) is nn.Linear or not isinstance(module, nn.Linear):
        return isinstance(module, nn.Linear)
    weight, bias = module.weight, module.bias
    if not weight.is_floating_point() or weight.shape != (module.out_features, module.in_features):
        return False
    if weight.is_meta:
        return True
    x = torch.linspace(-1, 1, module.in_features, device=weight.device, dtype=weight.dtype)[None]
    expected = F.linear(x, weight, bias)
    tolerance = 64 * torch.finfo(weight.dtype).eps * expected.abs().max()
    return bool(((module(x) - expected).abs() <= tolerance).all())


def _named(
    model: nn.Module, modules: Mapping[str, nn.Module], linear: Mapping[str, nn.Linear], targets: Sequence[str]
) -> set[str]:
    known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
    hint = f"its linear layers: {known}" if known else "it has no torch.nn.Linear layer"
    found = set()
    for target in targets:
        named = [name for name in modules if name == target or name.endswith(f".{target}")]
        refused = next((name for name in named if name not in linear), None)
        if refused is not None:
            kind = type(modules[refused]).__name__
            raise InvalidInput(f"target module {target!r}: {refused} is a {kind}, and only torch.nn.Linear can be adapted")
        if not named:
            raise InvalidInput(f"target module {target!r} is not in {type(model).__name__}; {hint} (or {ALL_LINEAR})")
        found.update(named)
    if not found:
        raise InvalidInput(f"no target modules given for {type(model).__name__}; {hint} (or {ALL_LINEAR})")
    return found


def _bypassed(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """Whether the layer lies in a torch module that reads weights without calling their layers."""
    parents = [modules[""], *(modules[name[:i]] for i, letter in enumerate(name) if letter == ".")]
    return any(isinstance(parent, (nn.MultiheadAttention, nn.TransformerEncoderLayer)) for parent in parents)

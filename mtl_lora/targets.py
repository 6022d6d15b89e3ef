"""Which layers of a model can be adapted: found by name, or all linear ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mtl_lora.errors import InvalidInput
from mtl_lora.layer import AdaptedLinear
from mtl_lora.weights import dims, is_transposed, matrix

ALL_LINEAR = "all-linear"
LAYER_NUMBER = re.compile(r"\.\d+(?=\.|$)")


def target_layers(model: nn.Module, targets: Sequence[str] | str) -> dict[str, nn.Module]:
    """The linear layers that ``targets`` name, by path. InvalidInput where a target names none, or none that can be."""
    targets = target_names(targets)
    modules = dict(model.named_modules())
    if any(isinstance(module, AdaptedLinear) for module in modules.values()):
        raise InvalidInput("the model is adapted already: load the base model again")
    linear = {name: module for name, module in modules.items() if _is_linear(module) and not _bypassed(name, modules)}
    if targets == [ALL_LINEAR]:
        inside = _inside(model)
        names = {name for name, module in linear.items() if module in inside}
        if not names:
            unfit = f" ({what})" if (what := left_out(model)) else ""
            raise InvalidInput(f"{type(model).__name__} has no linear layer that can be adapted{unfit}")
    else:
        names = _named(model, modules, linear, targets)
    for name in names:
        users = [other for other, p in model.named_parameters(remove_duplicate=False) if p is linear[name].weight]
        if len(users) > 1:
            raise InvalidInput(f"target module {name} shares its weight ({', '.join(users)}) and cannot be adapted")
    return {name: linear[name] for name in linear if name in names}


def target_dims(model: nn.Module, targets: Sequence[str] | str) -> list[tuple[int, int]]:
    """(d_in, d_out) of each layer that ``targets`` name."""
    return [dims(layer) for layer in target_layers(model, targets).values()]


def target_names(targets: Sequence[str] | str) -> list[str]:
    """``targets`` as a list; InvalidInput where they are no names."""
    names = [targets] if isinstance(targets, str) else targets
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput(f"targets must be a list of module names or {ALL_LINEAR}, not {targets!r}")
    return list(names)


def left_out(model: nn.Module) -> str | None:
    """The matrices that "all-linear" does not adapt, by reason and path, with * for a layer's number; None where it adapts
    all.

    Heads and the output embedding are no part of what it names.
    """
    modules, inside = dict(model.named_modules()), _inside(model)
    reasons: dict[str, list[str]] = {}
    for path, module in modules.items():
        if module not in inside or isinstance(module, (AdaptedLinear, nn.Conv1d, nn.ConvTranspose1d)):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and min(parameter.shape) > 1:  # such as those of a layer's experts
                reasons.setdefault("weights of three dimensions", []).append(f"{path}.{name}")
        if caller := _bypassed(path, modules):
            if _looks_linear(module):
                reasons.setdefault(f"what {caller} reads without calling it", []).append(path)
        elif _looks_linear(module) and not _is_linear(module):
            reasons.setdefault(f"layers of kind {type(module).__name__}", []).append(path)
    told = [
        f"{reason}: {', '.join(sorted({LAYER_NUMBER.sub('.*', p) for p in paths}))}" for reason, paths in reasons.items()
    ]
    return f"{ALL_LINEAR} leaves out {'; '.join(told)}" if told else None


def _inside(model: nn.Module) -> set[nn.Module]:
    """The modules but for the heads on top of the base model, which are not part of it, and the output embedding."""
    find_output = getattr(model, "get_output_embeddings", None)
    return set(getattr(model, "base_model", model).modules()) - {find_output() if find_output else None}


def _looks_linear(module: nn.Module) -> bool:
    """Whether a module says of itself that it maps features to features, as quantised ones do too."""
    return is_transposed(module) or (hasattr(module, "in_features") and hasattr(module, "out_features"))


@torch.no_grad()
def _is_linear(module: Any) -> bool:
    """Whether a module computes W x + b from a floating weight, as Falcon's and GPT-2's own classes do and quantised ones do
    not."""
    if type(module) is nn.Linear:
        return True
    if not isinstance(module, nn.Linear) and not is_transposed(module):
        return False
    weight, bias = matrix(module), module.bias
    if not weight.is_floating_point() or weight.dim() != 2:
        return False
    if isinstance(module, nn.Linear) and weight.shape != (module.out_features, module.in_features):
        return False
    if weight.is_meta:
        return True
    x = torch.linspace(-1, 1, weight.shape[1], device=weight.device, dtype=weight.dtype)[None]
    expected = F.linear(x, weight, bias)
    tolerance = 64 * torch.finfo(weight.dtype).eps * expected.abs().max()
    return bool(((module(x) - expected).abs() <= tolerance).all())


def _named(
    model: nn.Module, modules: Mapping[str, nn.Module], linear: Mapping[str, nn.Module], targets: Sequence[str]
) -> set[str]:
    known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
    hint = f"its linear layers: {known}" if known else "it has no linear layer"
    names = set()
    for target in targets:
        named = [name for name in modules if name == target or name.endswith(f".{target}")]
        refused = next((name for name in named if name not in linear), None)
        if refused is not None:
            kind = type(modules[refused]).__name__
            raise InvalidInput(f"target module {target!r}: {refused} is a {kind}; adapted are torch.nn.Linear and Conv1D")
        if not named:
            raise InvalidInput(f"target module {target!r} is not in {type(model).__name__}; {hint} (or {ALL_LINEAR})")
        names.update(named)
    if not names:
        raise InvalidInput(f"no target modules given for {type(model).__name__}; {hint} (or {ALL_LINEAR})")
    return names


def _bypassed(name: str, modules: Mapping[str, nn.Module]) -> str | None:
    """The kind of torch module that the layer lies in and that reads weights without calling their layers, if any."""
    parents = [modules[""], *(modules[name[:i]] for i, letter in enumerate(name) if letter == ".")]
    kinds = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
    return next((type(parent).__name__ for parent in parents if isinstance(parent, kinds)), None)

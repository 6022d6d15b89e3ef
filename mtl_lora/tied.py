"""Tensors that a model has under several names, as tied embeddings are: hooks that save them by one and load them by all."""

from __future__ import annotations

from typing import Any

from torch import nn


def _tied(model: nn.Module) -> dict[str, str]:
    """Further names of parameters that have several, as tied embeddings do, with the first one of each."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[id(parameter)] for name, parameter in every if name != first[id(parameter)]}


def name_once(model: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Leave a tensor in the state by one name alone: safetensors, which transformers' Trainer writes, refuses two."""
    for name in _tied(model):
        state.pop(prefix + name, None)


def name_twice(model: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Give a tensor in the state back the names that :func:`name_once` left out."""
    for name, first in _tied(model).items():
        if prefix + first in state:
            state.setdefault(prefix + name, state[prefix + first])

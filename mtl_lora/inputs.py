"""What models are given: which input holds the samples, and what ``generate`` is given as a forward pass would be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
BATCH_INPUTS = (  # inputs whose length is the number of samples
    "input_ids",
    "inputs_embeds",
    "inputs",
    "pixel_values",
    "input_features",
    "input_values",
)


def batch_of(args: Args, kwargs: Kwargs) -> Tensor | None:
    """The input whose length is the number of samples, where one is known."""
    named = [kwargs[name] for name in BATCH_INPUTS if kwargs.get(name) is not None]
    return next((value for value in [*named, *args] if isinstance(value, Tensor)), None)


def as_forward(base: Any, samples: int, inputs: Tensor | None = None, **kwargs: Any) -> dict[str, Any]:
    """What ``generate`` is given for so many samples, as inputs of one forward pass of a model of transformers."""
    kwargs = {base.main_input_name: inputs, **kwargs}
    if base.config.is_encoder_decoder:
        start = torch.arange(2, device=base.device).expand(samples, 2)
        kwargs = {"decoder_input_ids": start, **kwargs}
    known = inspect.signature(base.forward).parameters
    return {name: value for name, value in kwargs.items() if name in known and value is not None}


def with_inputs_of(base: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """``forward`` with the signature of the base model's and task_ids: transformers' Trainer keeps the columns of a data set
    that are named there."""
    inputs = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(base.forward).parameters.values()]
    ids = inspect.Parameter("task_ids", inspect.Parameter.KEYWORD_ONLY, default=None)
    known = partial(forward)
    known.__signature__ = inspect.Signature(sorted([*inputs, ids], key=lambda p: p.kind))  # type: ignore[attr-defined]
    return known

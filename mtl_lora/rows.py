"""Which rows of a layer's input belong to which sample: proven by moving the samples of a batch on by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mtl_lora.context import TaskContext, not_by_sample
from mtl_lora.errors import InvalidInput
from mtl_lora.inputs import Args, Kwargs

CLOSE = 0.1  # of a row's size: rounding moves a row by less, another sample or token by more
SHARE = 0.9  # of a sample's rows: near-ties of a half-precision expert router send a few elsewhere
CACHES = ("past_key_values", "cache_params")  # filled by the pass that is to be proven


@torch.no_grad()
def prove_rows(
    base: nn.Module,
    context: TaskContext,
    layers: Sequence[str],
    length: int,
    args: Args,
    kwargs: Kwargs,
) -> None:
    """Prove that each layer is given the rows of one sample after another.

    The base model runs twice more, without dropout and gradients and all for one task: on the batch, and on the batch
    whose samples are moved on by one. The rows of each layer's inputs must then have moved on by one sample's rows.
    What is proven stays so, in ``context.proven``.

    Args:
        base: The adapted model's base.
        context: Of the pass that was just made.
        layers: Names of those to prove it of.
        length: The number of samples.
        args: Inputs of ``base``; tensors of this length hold the samples of the context in their first dimension.
        kwargs: Further ones.

    Raises:
        InvalidInput: Where a layer is given other rows.
    """
    samples = len(context.one_hot())
    kwargs = {name: value for name, value in kwargs.items() if name not in CACHES}

    def move(value: Any) -> Any:
        of_samples = isinstance(value, Tensor) and value.dim() > 0 and len(value) == length
        return value.roll(length // samples, 0) if of_samples else value

    with context([0] * samples, next(base.parameters()).device), _undisturbed(base):
        before = _marks(base, layers, args, kwargs)
        after = _marks(base, layers, *tree_map(move, (args, kwargs)))
    for layer in layers:
        if not before[layer] or [mark.shape for mark in before[layer]] != [mark.shape for mark in after[layer]]:
            raise not_by_sample(layer)
        known = context.proven.setdefault(layer, {})
        for mark, moved in zip(before[layer], after[layer], strict=True):
            known.setdefault(mark.dim(), set()).add(_rows(layer, mark, moved, samples))


def _rows(layer: str, mark: Tensor, moved: Tensor, samples: int) -> int:
    """How many rows each sample has in an input of the layer, proven."""
    width = mark.shape[-1]
    if len(mark) % samples or not _moved_on(mark.reshape(samples, -1, width), moved.reshape(samples, -1, width), 0):
        raise not_by_sample(layer)
    rows = mark[..., 0].numel() // samples
    if rows > 1 and _moved_on(mark.reshape(rows, samples, width), moved.reshape(rows, samples, width), 1):
        raise InvalidInput(
            f"all rows given to {layer} are alike, so whose they are cannot be told: give other samples first"
        )
    return rows


def _moved_on(mark: Tensor, moved: Tensor, dim: int) -> bool:
    """Whether ``moved`` is ``mark`` with its samples, which lie along ``dim``, moved on by one."""
    size = (mark - mark.mean((0, 1))).norm(dim=-1)
    same = (moved - mark.roll(1, dim)).norm(dim=-1) <= CLOSE * (size.roll(1, dim) + size.mean())
    return bool((same.float().mean(1 - dim) >= SHARE).all())


def _marks(base: nn.Module, layers: Sequence[str], args: Args, kwargs: Kwargs) -> dict[str, list[Tensor]]:
    """A few numbers for each row of each input of the layers, in the order of their calls: (..., 4)."""
    marks: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def note(layer: str, module: nn.Module, inputs: tuple[Tensor]) -> None:
        (x,) = inputs
        directions = torch.outer(torch.arange(1, x.shape[-1] + 1), torch.arange(1, 5)).cos()
        marks[layer].append((x.float() @ directions.to(x.device)).nan_to_num(0, 0, 0))  # padding may be nan

    hooks = [base.get_submodule(layer).register_forward_pre_hook(partial(note, layer)) for layer in layers]
    try:
        base(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return marks


@contextmanager
def _undisturbed(base: nn.Module) -> Iterator[None]:
    """``base`` in evaluation mode; afterwards its modules and the random generators are as they were."""
    modes = {module: module.training for module in base.modules()}
    device = next(base.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        base.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

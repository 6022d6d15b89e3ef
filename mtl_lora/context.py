"""Task ids on their way to the adapted layers: set once around a forward pass, read by every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtl_lora.errors import InvalidInput
from mtl_lora.tasks import TaskNames

NO_BACKWARD = -1
CHECKPOINT = "_gradient_checkpointing_func"  # where a module of transformers keeps how it runs its layers again


class Batch(NamedTuple):
    """The samples of a pass.

    Attributes:
        one_hot: Their tasks (samples, T), float.
        backward: The backward pass in which they were given.
        unproven: Names of layers that were run though it is not known which of their rows are whose.
    """

    one_hot: Tensor
    backward: int
    unproven: list[str]

    def of_one_task(self) -> bool:
        """Whether all samples have the same task; waits for the device."""
        return bool((self.one_hot == self.one_hot[0]).all())


class TaskContext:
    """Holds the task of each sample of the current forward pass.

    Gradient checkpointing runs layers again inside backward, when the pass that set the ids is over, and another one may
    have begun: :meth:`checkpoint` takes the ids along. Without that, a layer that is run in backward is refused.

    proven: for each layer, by the number of dimensions of its input, how many rows a sample had, once
    :func:`mtl_lora.rows.prove_rows` has seen that the rows of one sample come after another's.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self.names = TaskNames(tasks)
        self.proven: dict[str, dict[int, set[int]]] = {}
        self._batch: Batch | None = None
        self._called: set[str] = set()
        self._read: set[str] = set()
        self._penalties: list[Tensor] = []

    @contextmanager
    def __call__(self, tasks: Tensor | Sequence[int | str], device: torch.device | None = None) -> Iterator[None]:
        """Run the enclosed forward pass with these tasks, one per sample: a LongTensor (samples,), or ids or names."""
        with self._use(self._one_hot(tasks, device)):
            yield
            if self.unproven():
                raise InvalidInput(
                    f"not known whose rows {min(self.unproven())} was given: call the adapted model itself first"
                )

    @contextmanager
    def _use(self, one_hot: Tensor) -> Iterator[None]:
        previous, self._batch = self._batch, Batch(one_hot, _backward_pass(), [])
        try:
            yield
        finally:
            self._batch = previous

    def checkpoint(self, checkpoint: Callable[..., Any], function: Callable[..., Any], *args: Any) -> Any:
        """``checkpoint(function, *args)``, where every run of ``function`` has the task ids of now.

        Args:
            checkpoint: ``torch.utils.checkpoint.checkpoint`` or one like it, reentrant or not.
            function: A part of the model's forward pass.
            *args: What it is called with.
        """
        if self._batch is not None:
            function = partial(self._run, self._batch.one_hot, function)
        return checkpoint(function, *args)

    def keep_in_checkpoints(self, model: nn.Module) -> None:
        """Let every module of ``model`` that runs layers again in backward do so by :meth:`checkpoint`."""
        for module in model.modules():
            if hasattr(module, CHECKPOINT):
                setattr(module, CHECKPOINT, partial(self.checkpoint, getattr(module, CHECKPOINT)))

    def _run(self, one_hot: Tensor, function: Callable[..., Any], *args: Any) -> Any:
        with self._use(one_hot):
            return function(*args)

    def _one_hot(self, tasks: Tensor | Sequence[int | str], device: torch.device | None) -> Tensor:
        return F.one_hot(self.names.ids(tasks).to(device), len(self.names.tasks)).float()

    def route(self, z: Tensor, core: Tensor, layer: str) -> Tensor:
        """Apply to each row of z (rows, ..., R_in) the core of its sample's task.

        Picking cores by a one-hot product keeps backward deterministic, which indexing does not on CUDA.

        Args:
            z: The rows, D x.
            core: (T, R_out, R_in), or (T, R) of diagonals.
            layer: The name of the one whose input has these rows.
        """
        rows, one_hot = self.by_sample(z, layer)
        picked = (one_hot.to(core.device, core.dtype) @ core.flatten(1)).to(z).unflatten(1, core.shape[1:])
        routed = rows * picked[:, None] if core.dim() == 2 else torch.bmm(rows, picked.transpose(1, 2))
        return routed.reshape(*z.shape[:-1], routed.shape[-1])

    def by_sample(self, z: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """z (rows, ..., R) as (samples, rows of each, R), and the tasks of these samples one-hot (samples, T).

        Rows may be a multiple of the samples: each sample then owns as many consecutive rows, which is how beams, answer
        choices and flattened tokens are laid out. Where this is not proven of ``layer``, :meth:`unproven` will name it.
        Rows that are no multiple are one sample's, if the batch is of one task.
        """
        batch = self._batch_of_now()
        one_hot, samples = batch.one_hot, len(batch.one_hot)
        if len(z) % samples:
            if not batch.of_one_task():
                raise not_by_sample(layer)
            one_hot, samples = one_hot[:1], 1
        elif samples > 1 and not self._is_proven(layer, z.dim(), z[..., 0].numel() // samples):
            if torch.compiler.is_compiling():
                raise InvalidInput("run the adapted model once on several samples before it is compiled")
            batch.unproven.append(layer)
        return z.reshape(samples, -1, z.shape[-1]), one_hot.to(z.device)

    def add_penalty(self, value: Tensor) -> None:
        """Keep what a layer adds to the loss; when it is run again in backward, that is known already."""
        if _backward_pass() == NO_BACKWARD:
            self._penalties.append(value)

    def take_penalties(self) -> list[Tensor]:
        """What layers have added since this was last asked."""
        taken, self._penalties = self._penalties, []
        return taken

    def _is_proven(self, layer: str, dims: int, rows: int) -> bool:
        """Whether it is known of inputs of so many dimensions and rows per sample.

        One row per sample tells least: flattened tokens of one-token texts lie in the same order either way. And flattened
        rows may have been chosen by what they hold, as experts do, so each number of them is proven for itself.
        """
        known = self.proven.get(layer, {}).get(dims, set())
        return (dims > 2 and max(known, default=0) > 1) or rows in known

    def unproven(self) -> list[str]:
        """Layers whose result is right only if the rows of one sample came after another's, which is not known."""
        batch = self._batch
        return batch.unproven if batch and batch.unproven and not batch.of_one_task() else []

    @contextmanager
    def refuse_unused(self) -> Iterator[None]:
        """InvalidInput where the enclosed forward pass reads the weight of an adapted layer and does not call it."""
        self._called.clear()
        self._read.clear()
        yield
        for layer in sorted(self._read - self._called):
            raise InvalidInput(
                f"the model reads the weight of {layer} and does not call it, so an adapter there does nothing: "
                "name targets without it"
            )

    def note_call(self, layer: str) -> None:
        """An adapted layer is called."""
        if not torch.compiler.is_compiling():
            self._called.add(layer)

    def note_read(self, layer: str) -> None:
        """The weight of an adapted layer is read."""
        if not torch.compiler.is_compiling():
            self._read.add(layer)

    def one_hot(self) -> Tensor:
        """The tasks of the current samples, one-hot (samples, T); InvalidInput where none were given for this pass."""
        return self._batch_of_now().one_hot

    def _batch_of_now(self) -> Batch:
        backward = _backward_pass()
        if self._batch is not None and self._batch.backward == backward:
            return self._batch
        if backward != NO_BACKWARD:
            raise InvalidInput(
                "a checkpoint past the adapted model lost the tasks of its samples: "
                "call activation_checkpointing_enable() of the adapted model"
            )
        raise InvalidInput(f"the task of each sample is missing: pass task_ids; the tasks are {self.names.describe()}")


def not_by_sample(layer: str) -> InvalidInput:
    """The error for a layer whose rows cannot be given the tasks of a mixed batch."""
    return InvalidInput(
        f"{layer} is not given the rows of one sample after another, so one batch cannot mix tasks: "
        "give one id per sample, batches of one task, or other targets"
    )


def _backward_pass() -> int:
    """The backward pass we are inside of, by its number."""
    return NO_BACKWARD if torch.compiler.is_compiling() else torch._C._current_graph_task_id()

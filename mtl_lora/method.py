"""What a low-rank adaptation method is: its trained tensors, and the factors they make.

Every method adapts a frozen linear layer W (d_out x d_in) for task t by

    y = W x + s * U C_t D x,    s = alpha / rank

with D (R_in x d_in) the stacked down-projections, U (d_out x R_out) the stacked up-projections
and C_t (R_out x R_in) a small core that only the task chooses. A method that routes by token weighs the
blocks of U for each input besides. A method is a frozen dataclass: its fields are its settings, and its
functions say which tensors are trained and how they make D, C, U.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from mtl_lora.errors import InvalidInput, unknown
from mtl_lora.plugins import method_plugins

Shapes = dict[str, tuple[int, ...]]
Params = Mapping[str, Tensor]
Rng = Callable[[str], torch.Generator]


class Factors(NamedTuple):
    """The product ``up @ core[t] @ down`` that a method adds to W for task t.

    Attributes:
        down: (R_in, d_in).
        core: (T, R_out, R_in); or (T, R) where every C_t is a diagonal; or None for the identity.
        up: (d_out, R_out).
    """

    down: Tensor
    core: Tensor | None
    up: Tensor


@dataclass(frozen=True)
class Method(ABC):
    """Settings that all methods share; a subclass adds its own as further fields.

    Attributes:
        rank: Rows of one down-projection, r.
        alpha: The update is scaled by alpha / rank.
        dropout: Probability of zeroing an input of the low-rank branch in training.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[bool] = False  # a bound to compare with, no competitor for the budget
    trains_base: ClassVar[bool] = False
    routes_by_token: ClassVar[bool] = False  # by block_weights; there is then no plain LoRA that it folds to
    penalises: ClassVar[bool] = False  # by penalty, which then belongs to the loss
    small: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)  # its own settings in tests of tiny layers, one set or several
    version: ClassVar[int] = 1  # of the formula as computed; a higher one gives other numbers, so other runs

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if isinstance(field.default, int) and not (whole and value >= 1):
                raise InvalidInput(f"{self.name}: {field.name} must be a whole number of at least 1, not {value!r}")
        step = self.rank_step(vars(self))
        if self.rank % step:
            raise InvalidInput(f"{self.name}: rank must be a multiple of {step}, not {self.rank}")
        self._require_positive("alpha")
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            raise InvalidInput(f"{self.name}: dropout must be in [0, 1), not {self.dropout!r}")

    def _require_positive(self, setting: str) -> None:
        value = getattr(self, setting)
        if not (_is_number(value) and value > 0):
            raise InvalidInput(f"{self.name}: {setting} must be a number above 0, not {value!r}")

    @property
    def scaling(self) -> float:
        """s = alpha / rank, unless a method scales otherwise."""
        return self.alpha / self.rank

    @property
    def dropout_masks(self) -> int:
        """How many parts of D, of equal height, draw each their own mask of dropped inputs."""
        return 1

    @classmethod
    def rank_step(cls, settings: Mapping[str, Any]) -> int:
        """The ranks of this method, with these other settings, are the multiples of this number."""
        return 1

    @abstractmethod
    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        """The tensors trained in one adapted layer, by name."""

    def shared_shapes(self, num_tasks: int) -> Shapes:
        """The tensors trained once for the whole model, by name; none for most methods."""
        return {}

    @abstractmethod
    def initialise(self, params: Params, base_weight: Tensor, rng: Rng) -> None:
        """Fill the layer's ``params`` in place so that the adapted layer equals the base layer.

        Args:
            params: Tensors of :meth:`shapes`, empty, and the :meth:`constants`.
            base_weight: W (d_out, d_in) in the dtype of ``params``.
            rng: ``rng(name)`` is the random generator of the tensor of that name.
        """

    def initialise_shared(self, params: Params, rng: Rng) -> None:  # noqa: B027 (most methods share nothing)
        """Fill the model's shared ``params`` in place."""

    @abstractmethod
    def factors(self, params: Params) -> Factors:
        """D, C and U from a layer's ``params`` (the model's shared ones included)."""

    def constants(self, base_weight: Tensor) -> dict[str, Tensor]:
        """Numbers that follow from the frozen W alone, computed once; ``params`` holds them beside the trained tensors."""
        return {}

    def block_weights(self, params: Params, x: Tensor) -> Tensor:
        """What the n blocks of U, of equal width and side by side, weigh for each input; asked of who ``routes_by_token``.

        Args:
            params: As in :meth:`factors`.
            x: The layer's input (..., d_in), of any dtype; nothing of it is dropped.

        Returns:
            (..., n). Where C_t D x is as narrow as one block, all blocks read the same; otherwise each reads its own.
        """
        raise NotImplementedError(f"{self.name} routes by token, so it needs block_weights")

    def penalty(self, params: Params, z: Tensor, one_hot: Tensor) -> Tensor:
        """What a layer adds to the loss of a batch, a scalar; asked in training of a method that ``penalises``.

        Args:
            params: As in :meth:`factors`.
            z: D x, unscaled, (samples, rows of each, R_in).
            one_hot: The samples' tasks (samples, T).
        """
        raise NotImplementedError(f"{self.name} penalises, so it needs penalty")

    def output_scale(self, params: Params, base_weight: Tensor) -> Tensor | None:
        """A factor (d_out,) for each output row of W x + s U C_t D x, or None for no rescaling."""
        return None

    def rate_factor(self, tensor: str) -> float:
        """How many times the recipe's learning rate the trained tensor of that name gets."""
        return 1.0

    def count(self, dims: Sequence[tuple[int, int]], num_tasks: int) -> int:
        """Trained parameters when layers of these (d_in, d_out) are adapted for ``num_tasks`` tasks."""
        per_layer = [self.shapes(d_in, d_out, num_tasks) for d_in, d_out in dims]
        return sum(math.prod(shape) for shapes in [*per_layer, self.shared_shapes(num_tasks)] for shape in shapes.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def kaiming_uniform_(tensor: Tensor, rng: torch.Generator, fan_in: int | None = None) -> None:
    """Kaiming uniform with a = sqrt(5), the start of ``nn.Linear``: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    fan_in is the last dimension unless given.
    """
    bound = 1 / math.sqrt(fan_in or tensor.shape[-1])
    tensor.copy_(torch.empty(tensor.shape, dtype=tensor.dtype).uniform_(-bound, bound, generator=rng))


def normal_(tensor: Tensor, rng: torch.Generator, std: float = 1.0) -> None:
    """N(0, std^2). Like all starts it is drawn on the CPU, so that it is the same on every device."""
    tensor.copy_(torch.empty(tensor.shape, dtype=tensor.dtype).normal_(0, std, generator=rng))


def stable_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """softmax(logits / temperature) over the last dimension, computed in float32 or better: in float16,
    dividing by a small temperature overflows."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.softmax(wide / temperature, dim=-1).to(logits.dtype)


METHODS: dict[str, type[Method]] = {}


def register(method: type[Method]) -> type[Method]:
    """Class decorator: make a method available by its name; InvalidInput where another one has it, or where it is not
    whole."""
    lacking = [*sorted(method.__abstractmethods__), *(name for name in ("name", "summary") if not hasattr(method, name))]
    if lacking:
        raise InvalidInput(f"method {method.__name__} of {method.__module__} lacks {', '.join(lacking)}")
    other = METHODS.setdefault(method.name, method)
    if other is not method:
        raise InvalidInput(f"method {method.name} of {method.__module__} has the name of one of {other.__module__}")
    return method


def find_method(name: str) -> type[Method]:
    """The method of that name, of this package or of an installed one that has methods (``mtl_lora.plugins``).

    Raises:
        InvalidInput: A line that lists the names there are.
    """
    if name not in METHODS:
        for plugin in method_plugins():
            plugin.load()
    if name not in METHODS:
        raise unknown("method", name, sorted(METHODS))
    return METHODS[name]

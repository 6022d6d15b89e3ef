"""The one adapted linear layer; every method is a case of it."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtl_lora.context import TaskContext
from mtl_lora.errors import InvalidInput
from mtl_lora.method import Factors, Method, Shapes
from mtl_lora.weights import adapter_dtype, dims, is_quantised, is_transposed, matrix, upright


class AdaptedLinear(nn.Module):
    """y = W x + s * U C_t D x (+ the base bias), rescaled row by row where the method says so.

    x is (samples, ..., d_in), the result (samples, ..., d_out).

    Args:
        base: The frozen layer, an nn.Linear or one that computes the same; it is kept as it is.
        method: What is trained in this layer.
        context: Which task each sample has.
        shared: The model's tensors that several layers use; the model owns them, this layer only reads them.
        seed: Fixes every start value, each tensor by its own name.
        name: The path of the layer in the model.
    """

    def __init__(
        self, base: Any, method: Method, context: TaskContext, shared: nn.ParameterDict, seed: int, name: str
    ) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.method = method
        self.context = context
        self._shared = (shared,)  # in a tuple, so that its parameters are listed once, by the model
        self.adapter = new_parameters(method.shapes(*dims(base), len(context.names.tasks)), matrix(base))
        with torch.no_grad():
            weight = matrix(base).to(adapter_dtype(base.weight))
            constants = method.constants(weight)
            if not weight.is_meta:
                method.initialise({**self.adapter, **constants}, weight, lambda tensor: generator(seed, name, tensor))
        self._constants = tuple(constants)
        self._quantised = is_quantised(base.weight)  # torch.compile could not ask
        self._rescales = type(method).output_scale is not Method.output_scale  # others need no W, which may be quantised
        for constant, value in constants.items():
            self.register_buffer(constant, value, persistent=False)
        self.merged: str | None = None  # the task that is merged into the base; W is kept meanwhile
        self._unmerged: Tensor | None
        self.register_buffer("_unmerged", None, persistent=False)
        self.register_state_dict_pre_hook(refuse_merged)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(refuse_merged)  # type: ignore[no-untyped-call]
        self.train(base.training)

    @property
    def weight(self) -> Tensor:
        """The base weight: some models look at its dtype before they call the layer, and some never call it."""
        if self.adapter:
            self.context.note_read(self.name)
        weight: Tensor = self.base.weight
        return weight

    @property
    def bias(self) -> Tensor | None:
        """The base bias."""
        bias: Tensor | None = self.base.bias
        return bias

    def _matrix(self) -> Tensor:
        """What :func:`matrix` gives of the base."""
        return upright(self.base, self.base.weight.dequantize() if self._quantised else self.base.weight)

    def _params(self) -> dict[str, Tensor]:
        """All tensors that the method reads: the model's shared ones, this layer's, and its constants."""
        return {**self._shared[0], **self.adapter, **{name: getattr(self, name) for name in self._constants}}

    def factors(self) -> Factors:
        """D, C and U as they stand now."""
        return self.method.factors(self._params())

    def fold(self, task: int) -> tuple[Tensor, Tensor]:
        """The plain LoRA that this layer is for one task: A (R_in, d_in) and B = U C_t (d_out, R_in).

        Raises:
            InvalidInput: Where the method routes by token: no one update then holds for all inputs.
        """
        if self.method.routes_by_token:
            raise InvalidInput(
                f"{self.method.name} weighs its factors anew for each token, so no task of it can be merged or exported: "
                "use the adapted model as it is"
            )
        down, core, up = self.factors()
        if core is None:
            return down, up
        return down, up * core[task] if core.dim() == 2 else up @ core[task]

    @torch.no_grad()
    def merged_weight(self, task: int) -> Tensor:
        """W with the update of one task added (d_out, d_in): summed in float32 or better, then cast to W's dtype."""
        with torch.autocast(self.weight.device.type, enabled=False):
            a, b = (factor.to(adapter_dtype(self.weight)) for factor in self.fold(task))
            wide = matrix(self.base).to(a.dtype)
            weight = wide + self.method.scaling * (b @ a)
            scale = self.method.output_scale(self._params(), wide)
            return (weight if scale is None else weight * scale[:, None]).to(self.weight.dtype)

    def merge(self, task: int) -> None:
        """Put one task into the base weight; the layer then costs no more than its base."""
        merged = self.merged_weight(task)
        merged = merged.T.contiguous() if is_transposed(self.base) else merged
        self._unmerged, self.base.weight.data = self.base.weight.data, merged
        self.merged = self.context.names.tasks[task]

    def unmerge(self) -> None:
        """Put the base weight back, bit for bit."""
        if self._unmerged is not None:
            self.base.weight.data, self._unmerged, self.merged = self._unmerged, None, None

    def forward(self, x: Tensor) -> Tensor:
        self.context.note_call(self.name)
        if self.merged is not None:
            if self.training and torch.is_grad_enabled():
                refuse_merged(self)
            merged: Tensor = self.base(x)
            return merged
        params = self._params()
        down, core, up = self.method.factors(params)
        z = self._projected(x, down.to(x.dtype))
        if self.method.penalises and self.training and torch.is_grad_enabled():
            self.context.add_penalty(self.method.penalty(params, *self.context.by_sample(z, self.name)))
        z = z * self.method.scaling
        if core is not None:
            z = self.context.route(z, core, self.name)
        if self.method.routes_by_token:
            z = _weighed(z, self.method.block_weights(params, x), up.shape[1])
        scale = self.method.output_scale(params, self._matrix()) if self._rescales else None
        if scale is not None:
            return self._rescaled(x, z, up, scale)
        # In place: autograd keeps none of these sums, and a fresh tensor of outputs costs time and memory.
        y: Tensor = self.base(x)
        return y.add_(F.linear(z, up.to(z.dtype)))

    def _projected(self, x: Tensor, down: Tensor) -> Tensor:
        """D x, in training with inputs dropped: of each part of D others where the method has several masks."""
        dropout, masks = self.method.dropout, self.method.dropout_masks
        if masks == 1 or not (dropout and self.training):
            return F.linear(F.dropout(x, dropout, self.training), down)
        return torch.cat([F.linear(F.dropout(x, dropout), part) for part in down.chunk(masks)], dim=-1)

    def _rescaled(self, x: Tensor, z: Tensor, up: Tensor, scale: Tensor) -> Tensor:
        """(W x + U z) * scale + bias."""
        y, bias = F.linear(x, self._matrix()), self.base.bias
        if y.dtype == adapter_dtype(y):
            y = y.add_(F.linear(z, up.to(z.dtype))) * scale
            return y if bias is None else y.add_(bias)
        # In half precision a scale of 1.001 would be rounded to 1; its difference from 1 keeps its digits.
        change = F.linear(z, (up * scale[:, None]).to(z.dtype), None if bias is None else bias.to(z.dtype))
        return torch.addcmul(change, y, (scale - 1).to(y.dtype)).add_(y)

    def extra_repr(self) -> str:
        return repr(self.method)


def _weighed(z: Tensor, weights: Tensor, width: int) -> Tensor:
    """z, (..., width) or one block of it that all share, with its n blocks weighed by (..., n): (..., width)."""
    blocks = z.unflatten(-1, (-1, width // weights.shape[-1]))
    weighed: Tensor = blocks * weights.to(z.dtype)[..., None]
    return weighed.flatten(-2)


def refuse_merged(module: nn.Module, *_: object) -> None:
    """InvalidInput while a task is merged into an adapted layer or model; takes what hooks are called with."""
    if module.merged is not None:
        raise InvalidInput(f"task {module.merged} is merged into the base: unmerge() before training, saving or loading")


def new_parameters(shapes: Shapes, like: Tensor) -> nn.ParameterDict:
    """Trainable tensors of these shapes, not yet filled, on the device of ``like``."""
    dtype = adapter_dtype(like)
    return nn.ParameterDict(
        {name: nn.Parameter(torch.empty(shape, dtype=dtype, device=like.device)) for name, shape in shapes.items()}
    )


def generator(seed: int, *name: str) -> torch.Generator:
    """A CPU generator for the tensor of that name, so that one more layer or method shifts no other's numbers."""
    digest = hashlib.sha256("/".join([str(seed), *name]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

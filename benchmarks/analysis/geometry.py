"""How tasks lie to each other in trained adapters, from the factors and what they read: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from torch import Tensor

from benchmarks.answering.base import TaskModel
from mtl_lora import AdaptedLinear, MTLLoRA
from mtl_lora.method import Factors, stable_softmax

POINTS = 40  # drawn per task


def cosines(products: Tensor) -> Tensor:
    """Cosines (T, T) of vectors with these products (T, T); NaN where one is 0."""
    norms = products.diagonal().sqrt()
    return products / norms.outer(norms)


def wide(factors: Factors) -> Factors:
    """The factors for analysis: in float64, on the CPU."""
    down, core, up = (None if tensor is None else tensor.detach().double().cpu() for tensor in factors)
    assert down is not None and up is not None
    return Factors(down, core, up)


def cores(factors: Factors, tasks: int) -> Tensor:
    """C_t (T, R_out, R_in) in full, however the method writes it."""
    if factors.core is None:
        return torch.eye(len(factors.down)).to(factors.down).expand(tasks, -1, -1)
    return factors.core.diag_embed() if factors.core.dim() == 2 else factors.core


def update_overlap(factors: Sequence[Factors], tasks: int) -> Tensor:
    """Cosines (T, T) of the tasks' updates U C_t D, those of all layers taken as one vector.

    No update is formed: <U C_t D, U C_u D> = <C_t, (U' U) C_u (D D')>, products of small matrices.
    """
    products = torch.zeros(tasks, tasks, dtype=torch.float64)
    for layer in factors:
        core = cores(layer, tasks)
        weighed = (layer.up.T @ layer.up) @ core @ (layer.down @ layer.down.T)
        products += core.flatten(1) @ weighed.flatten(1).T
    return cosines(products)


def of_mtl_lora(layers: dict[str, AdaptedLinear], start: TaskModel) -> dict[str, Any]:
    """How each task mixes the up-projections of each layer (T, L, n), how far that moved from the start (T, L; the total
    variation between both, 0 to 1), and how far its transforms did."""
    method, before = next(iter(layers.values())).method, dict(start.backbone.layers())
    assert isinstance(method, MTLLoRA)
    mixing, mixed = (
        torch.stack([stable_softmax(layer.adapter["w"], method.temperature).cpu() for layer in own.values()], dim=1)
        for own in (layers, before)
    )
    transforms = torch.stack([layer.adapter["Lambda"] for layer in layers.values()], dim=1)  # (T, L, r, r)
    distance = (transforms - torch.eye(method.rank).to(transforms)).norm(dim=(2, 3)) / method.rank**0.5
    differing = int((transforms - transforms.mean(0)).square().sum((0, 2, 3)).argmax())
    own = {"distance": distance, "layer": list(layers)[differing], "matrices": transforms[:, differing]}
    return {"mixing": mixing, "mixing_moved": (mixing - mixed).abs().sum(2) / 2, "lambda": own}


def separation(factors: Factors, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """How far the tasks lie apart before and after C_t.

    Args:
        factors: Of a layer.
        inputs: What that layer reads of each task (rows, d_in).
    """
    before = {task: x @ factors.down.T for task, x in inputs.items()}
    routed = zip(before.items(), cores(factors, len(inputs)), strict=True)
    return {"before": scatter(before), "after": scatter({task: h @ core.T for (task, h), core in routed})}


def scatter(vectors: dict[str, Tensor]) -> dict[str, Any]:
    """The vectors (rows, width) of each task in the plane where all of them spread most, and the silhouette of tasks."""
    together, sizes = torch.cat(list(vectors.values())), [len(part) for part in vectors.values()]
    points, explained = plane(together)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    defined = 1 < len(sizes) < len(together)
    return {
        "points": {task: part[:POINTS] for task, part in zip(vectors, points.split(sizes), strict=True)},
        "explained": explained,
        "silhouette": float(silhouette_score(together.numpy(), owners)) if defined else None,
    }


def plane(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Principal components: points (rows, 2) of vectors (rows, width), and the share of the variance that each axis has.

    The largest loading of an axis is positive, which leaves one answer.
    """
    wide_enough = F.pad(vectors, (0, max(2 - vectors.shape[1], 0)))  # of rank 1 the second axis is empty
    components = PCA(2, svd_solver="full")
    points = components.fit_transform(wide_enough.numpy())
    return torch.from_numpy(points), torch.from_numpy(components.explained_variance_ratio_)

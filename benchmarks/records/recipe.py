"""What all methods of a study have alike: how they are trained, and on which pretrained model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl_lora.errors import InvalidInput, unknown

SAMPLING = ("proportional", "temperature")
POOLING = ("mean", "last")
QUANTISED = ("int8", "int4")
# Metadata of a field that came after the first records: at its default it is neither written nor hashed, lest ids change.
LATER = {"later": True}


@dataclass(frozen=True)
class Recipe:
    """How every method is trained: AdamW, linear decay after a warm-up, gradients clipped at norm 1.

    batch_size: samples per step over all devices. warmup: part of the steps. scaling: alpha / rank of every method.
    dropout: of the low-rank branches; the backbone keeps its own. sampling: "proportional" shuffles all rows,
    "temperature" draws tasks with probability size ** (1 / temperature).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.06
    weight_decay: float = 0.0
    scaling: float = 2.0
    dropout: float = 0.0
    sampling: str = "proportional"
    temperature: float = 1.0

    def with_values(self, values: Mapping[str, float]) -> Recipe:
        """This recipe with other values for some of its numbers; InvalidInput where one means nothing."""
        changed: dict[str, Any] = {**values}
        return dataclasses.replace(self, **changed)

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLING:
            raise unknown("sampling", self.sampling, SAMPLING)
        for names, fits, allowed in (
            (("epochs", "batch_size", "learning_rate", "scaling", "temperature"), _positive, "a finite number above 0"),
            (("weight_decay",), lambda value: value == 0 or _positive(value), "a finite number of at least 0"),
            (("warmup",), lambda value: 0 <= value <= 1, "a part of the steps, from 0 to 1"),
            (("dropout",), lambda value: 0 <= value < 1, "in [0, 1)"),
        ):
            for name in names:
                if not fits(getattr(self, name)):
                    raise InvalidInput(f"{name.replace('_', ' ')} must be {allowed}, not {getattr(self, name)}")
        if (self.sampling == "temperature") != (self.temperature > 1):
            raise InvalidInput(
                f"temperature sampling goes with a temperature above 1, not {self.sampling} with {self.temperature:g}"
            )


@dataclass(frozen=True)
class WeightsIdentity:
    """What a pretrained model is, whatever it is called: the sha256 of its weights, its configuration and its tokenizer.

    The latter two are None where they are not known; the tokenizer's for a model without one.
    """

    weights_sha256: str
    config_sha256: str | None
    tokenizer_sha256: str | None


@dataclass(frozen=True)
class Backbone:
    """A pretrained model: hub id or folder, pinned revision, and how a sentence vector is read from it.

    pooling: "mean" over tokens (encoders), or the "last" token (causal models). weights: None where the hub has them and no
    hash of them is known: its commit says what they are. quantise: to what kind of number its linear weights are brought
    when it is loaded; None where they stay as they are.
    """

    id: str
    revision: str | None
    pooling: str
    max_length: int
    targets: tuple[str, ...]
    weights: WeightsIdentity | None = None
    quantise: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if self.pooling not in POOLING:
            raise unknown("pooling", self.pooling, POOLING)
        if self.max_length < 1:
            raise InvalidInput(f"max length must be at least 1 token, not {self.max_length}")
        if self.quantise not in (None, *QUANTISED):
            raise unknown("kind of quantised weights", self.quantise, QUANTISED)


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def steps(sizes: Sequence[int], recipe: Recipe) -> int:
    """Optimiser steps of a whole run on tasks of these training sizes."""
    return recipe.epochs * sum(sizes) // recipe.batch_size

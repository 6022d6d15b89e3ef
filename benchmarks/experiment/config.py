"""What a run is of: recipe, backbone, and the configuration whose hash names the run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtl_lora.errors import InvalidInput, unknown

SAMPLING = ("proportional", "temperature")
POOLING = ("mean", "last")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How every method is trained: AdamW, linear decay after a warm-up, gradients clipped at norm 1.

    batch_size: samples a step over all devices. warmup: part of the steps. scaling: alpha / rank of every method.
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
class Backbone:
    """A pretrained model: hub id, pinned revision, and how a sentence vector is read from it.

    pooling: "mean" over tokens (encoders), or the "last" token (causal models).
    """

    id: str
    revision: str | None
    pooling: str
    max_length: int
    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pooling not in POOLING:
            raise unknown("pooling", self.pooling, POOLING)
        if self.max_length < 1:
            raise InvalidInput(f"max length must be at least 1 token, not {self.max_length}")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the numbers of a run. Its hash is the run's id, file name and resume key.

    method: name and settings. budget: trained adapter parameters asked for, 0 where a method trains no adapter.
    backbone, recipe: as :class:`Backbone` and :class:`Recipe`. data: for each task the fingerprint of its rows.
    conflict: between tasks of generated data. answering: the answer mode and its settings, None for plain heads.
    """

    suite: str
    tasks: tuple[str, ...]
    protocol: str
    backbone: dict[str, Any]
    method: dict[str, Any]
    budget: int
    recipe: dict[str, Any]
    precision: str
    split: str
    max_train: int | None
    max_eval: int | None
    data: dict[str, str]
    seed: int
    conflict: float | None = None
    answering: dict[str, Any] | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> RunConfig:
        """The configuration of a record."""
        config = record["config"] | {"tasks": tuple(record["config"]["tasks"])}
        return cls(**config)

    def as_dict(self) -> dict[str, Any]:
        """What a record holds: without a conflict where it cannot be set, without an answer mode where it is heads."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value is not None or name not in ("conflict", "answering")}

    @property
    def released(self) -> dict[str, Any] | None:
        """What the released scripts set for this method, under the protocol that follows them."""
        return self.method.get("released")

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of this configuration as canonical JSON."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """How a person tells the runs of a plan apart."""
        size = f", rank {self.method['rank']}" if self.budget else ""
        conflict = "" if self.conflict is None else f", conflict {self.conflict:g}"
        return f"{self.method['label']}{size}{conflict}, seed {self.seed}"


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def steps(sizes: Sequence[int], recipe: Recipe) -> int:
    """Optimiser steps of a whole run on tasks of these training sizes."""
    return recipe.epochs * sum(sizes) // recipe.batch_size

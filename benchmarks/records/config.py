"""What a run is of: recipe, backbone, and the configuration whose hash names the run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mtl_lora.errors import InvalidInput, unknown

SAMPLING = ("proportional", "temperature")
POOLING = ("mean", "last")
PRECISIONS = ("float32", "bfloat16")
RENAMED_MODES = {"pairs": "bi-encoder"}  # answer modes that records, and so ids, go on calling by their first name
# Metadata of a field that came after the first records: at its default it is neither written nor hashed, lest ids change.
LATER = {"later": True}
Setting = str | int | float | bool | None


def plain(value: Any) -> Any:
    """What JSON holds of a dataclass: its fields, without those that came ``LATER`` and are at their default."""
    if dataclasses.is_dataclass(value):
        kept = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        unset = {f.name for f in dataclasses.fields(value) if f.metadata.get("later") and kept[f.name] == f.default}
        return {name: plain(own) for name, own in kept.items() if name not in unset}
    if isinstance(value, dict):
        return {name: plain(own) for name, own in value.items()}
    return [plain(own) for own in value] if isinstance(value, list | tuple) else value


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
    hash of them is known: its commit says what they are.
    """

    id: str
    revision: str | None
    pooling: str
    max_length: int
    targets: tuple[str, ...]
    weights: WeightsIdentity | None = None

    def __post_init__(self) -> None:
        if self.pooling not in POOLING:
            raise unknown("pooling", self.pooling, POOLING)
        if self.max_length < 1:
            raise InvalidInput(f"max length must be at least 1 token, not {self.max_length}")


class Candidate(NamedTuple):
    """What may be chosen for a method: a learning rate, and the value of its knob where it has one."""

    learning_rate: float
    value: Setting = None

    def __str__(self) -> str:
        return f"{self.learning_rate:g}" + ("" if self.value is None else f" with {self.value}")


@dataclass(frozen=True)
class Trial:
    """A run that a learning rate was chosen by. score: the mean over tasks on the dev split, None where it diverged.
    value: of the method's knob."""

    id: str
    learning_rate: float
    seed: int
    score: float | None
    value: Setting = field(default=None, metadata=LATER)

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.learning_rate, self.value)


@dataclass(frozen=True)
class Choice:
    """Why a method has its learning rate, for anyone to check: what was tried, and the rule. on_edge: the highest mean was
    that of the lowest or the highest rate tried. budget: of trials, where there was halving.
    value: that was chosen for the method's knob.
    """

    learning_rate: float
    rule: str
    trials: tuple[Trial, ...]
    on_edge: bool
    budget: int | None = field(default=None, metadata=LATER)
    value: Setting = field(default=None, metadata=LATER)

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.learning_rate, self.value)


@dataclass(frozen=True)
class MethodConfig:
    """A method as it is run.

    label: its name, and those settings that were asked for. settings: all of them. version: of its formula. instead: what
    the recipe of all has where this method has its own. choice: where its learning rate is from, under protocol tuned.
    knob: the setting that is tuned beside it.
    """

    label: str
    name: str
    settings: dict[str, Setting]
    version: int = field(default=1, metadata=LATER)
    instead: dict[str, float] | None = field(default=None, metadata=LATER)
    choice: Choice | None = field(default=None, metadata=LATER)
    knob: str | None = field(default=None, metadata=LATER)

    @property
    def rank(self) -> int:
        """Of the method; its default where it trains no adapter."""
        rank = self.settings["rank"]
        assert isinstance(rank, int)
        return rank


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the numbers of a run. Its hash is the run's id, file name and resume key.

    tasks: in the order of their suite. definitions: the hash of each (``benchmarks.suites.spec``). budget: trained adapter
    parameters asked for, 0 where a method trains no adapter. backbone, recipe, answering: as the run really reads and
    trains, whatever protocol or preset they come from. data: for each task the fingerprint of its rows. conflict: between
    tasks of generated data. answering: the answer mode ("way") and its settings, None for heads.
    rank: that all methods have instead of a budget. stage: "trial" of a run that only serves to choose a learning rate.
    """

    suite: str
    tasks: tuple[str, ...]
    definitions: dict[str, str]
    protocol: str
    backbone: Backbone
    method: MethodConfig
    budget: int
    recipe: Recipe
    precision: str
    split: str
    max_train: int | None
    max_eval: int | None
    data: dict[str, str]
    seed: int
    conflict: float | None = field(default=None, metadata=LATER)
    answering: dict[str, Setting] | None = field(default=None, metadata=LATER)
    rank: int | None = field(default=None, metadata=LATER)
    stage: str | None = field(default=None, metadata=LATER)

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of this configuration as canonical JSON.

        Models are named by their content where it is known, never by the folder they lie in.
        """
        config = plain(self)
        if self.backbone.weights is not None:
            del config["backbone"]["id"], config["backbone"]["revision"]
        if str((self.answering or {}).get("vision_revision", "")).startswith("sha256:"):
            del config["answering"]["vision"]
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def candidate(self) -> Candidate:
        """Its learning rate, and the value of its method's knob."""
        knob, settings = self.method.knob, self.method.settings
        if knob is None:
            return Candidate(self.recipe.learning_rate)
        return Candidate(self.recipe.learning_rate, settings[knob] if knob in settings else getattr(self.recipe, knob))

    @property
    def answer_mode(self) -> str:
        """The name of the answer mode."""
        name = "heads" if self.answering is None else str(self.answering["way"])
        return RENAMED_MODES.get(name, name)

    @property
    def pictures(self) -> str | None:
        """Which pictures the model saw, where tasks have any: their own or, as a control, those of other samples."""
        pictures = (self.answering or {}).get("pictures")
        return None if pictures is None else str(pictures)

    @property
    def title(self) -> str:
        """How a person tells the runs of a plan apart."""
        size = f", rank {self.method.rank}" if self.budget else ""
        conflict = "" if self.conflict is None else f", conflict {self.conflict:g}"
        knob = "" if self.method.knob is None else f", {self.method.knob} {self.candidate.value}"
        trial = f", trial at {self.recipe.learning_rate:g}{knob}" if self.stage == "trial" else ""
        return f"{self.method.label}{size}{conflict}{trial}, seed {self.seed}"


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def steps(sizes: Sequence[int], recipe: Recipe) -> int:
    """Optimiser steps of a whole run on tasks of these training sizes."""
    return recipe.epochs * sum(sizes) // recipe.batch_size

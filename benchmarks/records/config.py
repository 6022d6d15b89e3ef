"""What a run is of: its method, why it has its learning rate, and the configuration whose hash names the run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.records.recipe import LATER, Backbone, Recipe

PRECISIONS = ("float32", "bfloat16")
RENAMED_MODES = {"pairs": "bi-encoder"}  # answer modes that records, and so ids, go on calling by their first name
Setting = str | int | float | bool | None


def plain(value: Any) -> Any:
    """What JSON holds of a dataclass: its fields, without those that came ``LATER`` and are at their default."""
    if dataclasses.is_dataclass(value):
        kept = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        unset = {f.name for f in dataclasses.fields(value) if f.metadata.get("later") and kept[f.name] == f.default}
        return {name: plain(part) for name, part in kept.items() if name not in unset}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


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

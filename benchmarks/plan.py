"""From options to the list of runs: data selected, ranks fitted to the budget, finished runs recognised."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering import WAYS, Generation, Heads, Pairs, Way, ways_for
from benchmarks.data import SPLITS, TaskData, load_task, steps
from benchmarks.presets import PRECISIONS, Backbone, Recipe
from benchmarks.protocols import ALPHA, PROTOCOLS, RANK, released
from benchmarks.records import RunConfig
from benchmarks.sources import Source
from benchmarks.suite import Suite
from mtl_lora import METHODS, Fit, InvalidInput, MTLLoRA, find_method, fit_rank, parse_budget, target_dims
from mtl_lora.errors import unknown


@dataclass(frozen=True)
class MethodChoice:
    """A method and those of its settings that differ from the default; ``label`` names both."""

    label: str
    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """What the user asked for, resolved: every method, budget and seed on one suite, backbone and recipe.

    budgets: ignored under protocol "paper", where every method has the released rank.
    """

    suite: Suite
    task_names: list[str]
    backbone: Backbone
    recipe: Recipe
    precision: str
    budgets: list[str]
    methods: list[MethodChoice]
    seeds: list[int]
    source: Source
    way: Way = field(default_factory=Heads)
    protocol: str = "matched"
    split: str = "test"
    max_train: int | None = None
    max_eval: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if type(self.way) not in ways_for(self.suite):
            fitting = ", ".join(way.name for way in ways_for(self.suite))
            raise InvalidInput(f"suite {self.suite.name} is answered by: {fitting}; not by {self.way.name}")
        if self.way.language and self.backbone.pooling != "last":
            raise InvalidInput(
                f"{self.way.name} needs a language model; {self.backbone.id} is an encoder, read by its "
                f"{self.backbone.pooling} (--pooling last for a language model; multiple choice: --answer pairs)"
            )
        if self.protocol == "paper" and not isinstance(self.way, Generation):
            raise InvalidInput(
                "protocol paper follows the released commonsense scripts: a causal model that generates answers"
            )
        for name in ("max_train", "max_eval"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InvalidInput(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")

    @cached_property
    def data(self) -> list[TaskData]:
        """The selected rows of every task; a task's id is its place here."""
        tasks = self.suite.select(self.task_names)
        return [load_task(task, self.source, self.split, self.max_train, self.max_eval) for task in tasks]

    @cached_property
    def _skeleton(self) -> tuple[int, list[tuple[int, int]], int]:
        """Parameters of the base, (d_in, d_out) of the layers to adapt, parameters that the way of answering adds."""
        model = self.source.skeleton(self.backbone.id, self.backbone.revision, self.way.language)
        base = sum(p.numel() for p in model.parameters())
        if not hasattr(model.config, "hidden_size"):
            raise InvalidInput(f"model {self.backbone.id} has no single hidden_size to put heads on")
        if self.way.language and model.config.is_encoder_decoder and not self.suite.pictures:
            raise InvalidInput(f"{self.way.name} needs a causal language model; {self.backbone.id} is an encoder-decoder")
        tasks = self.suite.select(self.task_names)
        most, more = getattr(model.config, "max_position_embeddings", None), self.way.more_positions(tasks)
        if most is not None and self.backbone.max_length + more > most:
            beside = f" and {more} for pictures and the answer" if more else ""
            raise InvalidInput(
                f"max length {self.backbone.max_length}{beside}: {self.backbone.id} has no more than {most} positions"
            )
        heads = self.way.head_parameters(tasks, model)
        return base, target_dims(model, self.backbone.targets), heads

    @property
    def base_parameters(self) -> int:
        """Parameters of the frozen backbone."""
        return self._skeleton[0]

    @property
    def head_parameters(self) -> int:
        """Parameters of the tasks' heads, or of a projection, which no budget counts."""
        return self._skeleton[2]

    @cached_property
    def fits(self) -> dict[tuple[str, int], Fit]:
        """By label and budget in parameters: each method at the rank that meets the budget best.

        A reference that adapts each task apart gets the budget for each; one that trains no adapter is at budget 0. Under
        protocol "paper" each is at the released rank, and what it is off is off plain LoRA's count.
        """
        if self.protocol == "paper":
            return self._released_fits()
        fits: dict[tuple[str, int], Fit] = {}
        for budget in (parse_budget(text, self.base_parameters) for text in self.budgets):
            for choice in self.methods:
                kind, settings = find_method(choice.name), {"dropout": self.recipe.dropout, **choice.settings}
                if not kind().shapes(1, 1, 1):
                    fits[choice.label, 0] = Fit(kind(**settings), 0, 0.0)
                    continue
                tasks = 1 if kind.reference else len(self.suite.select(self.task_names))
                scaling = self.recipe.scaling
                fits[choice.label, budget] = fit_rank(kind, self._skeleton[1], tasks, budget, scaling=scaling, **settings)
        return fits

    def _released_fits(self) -> dict[tuple[str, int], Fit]:
        dims, tasks = self._skeleton[1], len(self.suite.select(self.task_names))
        budget = find_method("lora")(rank=RANK, alpha=ALPHA).count(dims, tasks)
        fits = {}
        for choice in self.methods:
            released(choice.name)
            settings = {"dropout": self.recipe.dropout, **choice.settings}
            method = find_method(choice.name)(rank=RANK, alpha=ALPHA, **settings)
            parameters = method.count(dims, tasks)
            fits[choice.label, budget] = Fit(method, parameters, parameters / budget - 1)
        return fits

    @property
    def steps(self) -> int:
        """Optimiser steps of one run."""
        return steps([len(d.train) for d in self.data], self.recipe)

    def runs(self) -> list[RunConfig]:
        """Every run, seed by seed, so that a study cut short has whole comparisons."""
        if not self.steps:
            raise InvalidInput(f"the training rows do not fill one batch of {self.recipe.batch_size}")
        return [self._run(*key, fit, seed) for seed in self.seeds for key, fit in self.fits.items()]

    def _run(self, label: str, budget: int, fit: Fit, seed: int) -> RunConfig:
        method = {"label": label, "name": fit.method.name, **dataclasses.asdict(fit.method)}
        if self.protocol == "paper":
            method["released"] = dataclasses.asdict(released(fit.method.name))
        return RunConfig(
            suite=self.suite.name,
            tasks=tuple(d.task.name for d in self.data),
            protocol=self.protocol,
            backbone=dataclasses.asdict(self.backbone),
            method=method,
            budget=budget,
            recipe=dataclasses.asdict(self.recipe),
            precision=self.precision,
            split=self.split,
            max_train=self.max_train,
            max_eval=self.max_eval,
            data={d.task.name: d.fingerprint for d in self.data},
            seed=seed,
            conflict=self.suite.conflict,
            answering=None if self.way == Heads() else {"way": self.way.name, **dataclasses.asdict(self.way)},
        )


def parse_methods(text: str) -> list[MethodChoice]:
    """Methods from "all", "references", "lora,dora", or with settings "mtl-lora:up_projections=2:temperature=0.8,lora"."""
    several = {
        "all": order_for_display(name for name, method in METHODS.items() if not method.reference),
        "references": order_for_display(name for name, method in METHODS.items() if method.reference),
    }
    choices = [_parse_method(name) for part in parse_names(text) for name in several.get(part, [part])]
    if not choices or len({choice.label for choice in choices}) != len(choices):
        known = ", ".join([*several, *order_for_display(METHODS)])
        raise InvalidInput(f"methods must be given and differ, not {text!r}; known: {known}")
    return choices


def default_way(suite: Suite, backbone: Backbone, protocol: str) -> Way:
    """Heads for classes and grades, pairs read as suits the suite where the backbone is an encoder; for multiple choice
    scored pairs with an encoder, generated text with a causal model."""
    if not suite.choice:
        return Heads(suite.texts) if backbone.pooling == "mean" else Heads()
    if backbone.pooling == "mean":
        return Pairs()
    return Generation(prompt="released" if protocol == "paper" else "same")


def parse_way(text: str, default: Way) -> Way:
    """A way of answering from "pairs", or with settings "generation:loss=all:prompt=released", which change the default
    where that is the way named. Another vision model has another revision and width."""
    name, *pairs = text.split(":")
    if name not in WAYS:
        raise unknown("way of answering", name, WAYS)
    start = default if type(default) is WAYS[name] else WAYS[name]()
    settings = _parse_settings(name, pairs, dataclasses.asdict(start))
    if "vision" in settings:
        settings = {"vision_revision": "", "vision_width": 0} | settings
    return dataclasses.replace(start, **settings)


def _parse_method(text: str) -> MethodChoice:
    name, *pairs = text.split(":")
    method = find_method(name)
    defaults = {f.name: f.default for f in dataclasses.fields(method) if f.name not in ("rank", "alpha")}
    settings = _parse_settings(name, pairs, defaults)
    # A default is not worth naming, but dropout's default is the recipe's.
    settings = {key: value for key, value in sorted(settings.items()) if value != defaults[key] or key == "dropout"}
    return MethodChoice(":".join([name, *(f"{key}={value}" for key, value in settings.items())]), name, settings)


def _parse_settings(name: str, pairs: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in defaults:
            raise unknown(f"setting of {name}", key, defaults)
        try:
            settings[key] = type(defaults[key])(value)
        except ValueError as error:
            raise InvalidInput(f"{name}: {key} must be of the kind of {defaults[key]!r}, not {value!r}") from error
    return settings


def parse_seeds(text: str) -> list[int]:
    """Seeds from "0,1,2"."""
    return _parse_numbers(text, int, 2**32 - 1, "seeds must be different whole numbers from 0 to 2**32 - 1, like 0,1,2")


def parse_conflicts(text: str) -> list[float]:
    """Conflicts from "0,0.25,1"."""
    return _parse_numbers(text, float, math.inf, "conflicts must be different numbers from 0 to 1, like 0,0.5,1")


def _parse_numbers(text: str, kind: Callable[[str], Any], most: float, rule: str) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number <= most for number in numbers) or len(set(numbers)) != len(numbers):
        raise InvalidInput(f"{rule}, not {text!r}")
    return numbers


def parse_names(text: str | None) -> list[str]:
    """Names from "a,b"; none from nothing."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def order_for_display(labels: Iterable[str]) -> list[str]:
    """Method labels as tables list them: baselines from the plainest on, MTL-LoRA, then what they are compared with."""
    order = ["lora", "dora", "multilora", "moelora"]
    last = [MTLLoRA.name, "heads-only", "lora-per-task", "full"]

    def place(label: str) -> tuple[int, str]:
        name = label.partition(":")[0]
        if name in last:
            return len(order) + 1 + last.index(name), label
        return (order.index(name) if name in order else len(order)), label

    return sorted(labels, key=place)

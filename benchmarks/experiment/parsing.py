"""What users write on one line, read: methods, answer modes, seeds, conflicts, names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import AnswerMode
from benchmarks.answering.registry import find_answer_mode
from benchmarks.experiment.methods import BOUNDS, PAPER, beyond, order_for_display
from benchmarks.records.config import Choice, Setting
from mtl_lora import METHODS, InvalidInput, find_method
from mtl_lora.errors import unknown

OWN = ("learning_rate", "warmup", "weight_decay", "scaling")  # settings of the recipe that a method may have its own of


@dataclass(frozen=True)
class Knob:
    """A setting of a method that is tuned beside its learning rate, and the values that are tried."""

    name: str
    values: tuple[Setting, ...]


@dataclass(frozen=True)
class MethodChoice:
    """A method and those of its settings that differ from the default; ``label`` names both.

    recipe: what it has otherwise than the recipe of all. named: it was asked for by its name, so it cannot be left out.
    choice: where its learning rate is from, of a recorded run under protocol tuned. knob: under that protocol.
    """

    label: str
    name: str
    settings: Mapping[str, Any]
    recipe: Mapping[str, float]
    named: bool
    choice: Choice | None = None
    knob: Knob | None = None

    def at(self, value: Setting) -> MethodChoice:
        """With this value of its knob, under the same label; as it is with None."""
        if self.knob is None or value is None:
            return self
        name, setting = self.knob.name, {self.knob.name: value}
        changed: dict[str, Any] = (
            {"recipe": {**self.recipe, **setting}} if name in OWN else {"settings": {**self.settings, **setting}}
        )
        return dataclasses.replace(self, **changed)


def parse_methods(text: str) -> list[MethodChoice]:
    """Methods from "all" (those of the paper), "beyond" (it), "references", "lora,dora", or with settings
    "mtl-lora:up_projections=2:temperature=0.8,lora"."""
    several = {
        "all": [*PAPER],
        "beyond": beyond(METHODS),
        "references": [*BOUNDS],
    }
    choices = [_parse_method(name, part not in several) for part in parse_names(text) for name in several.get(part, [part])]
    if not choices or len({choice.label for choice in choices}) != len(choices):
        known = ", ".join([*several, *order_for_display(METHODS)])
        raise InvalidInput(f"methods must be given and differ, not {text!r}; known: {known}")
    return choices


def with_knobs(choices: Sequence[MethodChoice], texts: Sequence[str]) -> list[MethodChoice]:
    """Methods with their knobs, from "mtl-lora:temperature=0.3,1,3" for each of them; as they are where there is no text.

    Raises:
        InvalidInput: A knob is none, or not every method has one with as many values.
    """
    if not texts:
        return list(choices)
    labels, knobs = {choice.label: choice for choice in choices}, dict[str, Knob]()
    for text in texts:
        label, _, pair = text.rpartition(":")
        if label not in labels:
            raise unknown("method with a knob", label, labels)
        if label in knobs:
            raise InvalidInput(f"{label} has two knobs: each method has one")
        knobs[label] = _parse_knob(labels[label], pair)
    counts = {label: len(knobs[label].values) if label in knobs else 0 for label in labels}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{label} {count or 'none'}" for label, count in counts.items())
        raise InvalidInput(
            f"every method gets as many trials: each needs a --knob with the same number of values, not {told}"
        )
    return [dataclasses.replace(choice, knob=knobs[choice.label]) for choice in choices]


def _parse_knob(choice: MethodChoice, text: str) -> Knob:
    """A knob from "temperature=0.3,1,3". Its rank is set by the budget, and without an adapter a method has but a recipe."""
    name, _, values = text.partition("=")
    kind = find_method(choice.name)
    adapter = {f.name: f.default for f in dataclasses.fields(kind) if f.name != "rank"} | {"scaling": 0.0}
    free = {"warmup": 0.0, "weight_decay": 0.0} | (adapter if kind().shapes(1, 1, 1) else {})
    fixed = {*choice.settings, *choice.recipe} | ({"alpha", "scaling"} if {"alpha"} & {*choice.settings} else set())
    allowed = {key: default for key, default in free.items() if key not in fixed}
    if name not in allowed:
        raise unknown(f"knob of {choice.label}", name, allowed)
    tried = [_parse_settings(choice.name, [f"{name}={value}"], allowed)[name] for value in values.split(",")]
    if len(set(tried)) != len(tried) or len(tried) < 2:
        raise InvalidInput(f"a knob has several values, all different, like {name}=1,2; not {text!r}")
    return Knob(name, tuple(tried))


def parse_answer_mode(text: str, default: AnswerMode) -> AnswerMode:
    """An answer mode from "bi-encoder", or with settings "generation:loss=all:prompt=released", which change the default
    where that is the mode named. Another vision model has another revision and width. What follows from the backbone is no
    setting."""
    name, *pairs = text.split(":")
    kind = find_answer_mode(name)
    start = default if type(default) is kind else kind()
    free = {f.name: getattr(start, f.name) for f in dataclasses.fields(start) if not f.metadata.get("derived")}
    settings = _parse_settings(name, pairs, free)
    if "vision" in settings:
        settings = {"vision_revision": "", "vision_width": 0} | settings
    return dataclasses.replace(start, **settings)


def _parse_method(text: str, named: bool) -> MethodChoice:
    name, *pairs = text.split(":")
    defaults = {f.name: f.default for f in dataclasses.fields(find_method(name))}
    given = _parse_settings(name, pairs, defaults | dict.fromkeys(OWN, 0.0))
    # A default is not worth naming, but what stands in for the default is the recipe's or follows from the budget.
    kept = {
        key: value
        for key, value in sorted(given.items())
        if key in (*OWN, "dropout", "rank", "alpha") or value != defaults[key]
    }
    recipe = {key: kept[key] for key in OWN if key in kept}
    settings = {key: value for key, value in kept.items() if key not in OWN}
    return MethodChoice(":".join([name, *(f"{key}={value}" for key, value in kept.items())]), name, settings, recipe, named)


def _parse_settings(name: str, pairs: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in defaults:
            raise unknown(f"setting of {name}", key, defaults)
        try:
            settings[key] = type(defaults[key])(value)
            if not isinstance(defaults[key], str) and not value.isascii():
                raise ValueError("digits of another script")
        except ValueError as error:
            raise InvalidInput(f"{name}: {key} must be of the kind of {defaults[key]!r}, not {value!r}") from error
        if isinstance(settings[key], float) and not math.isfinite(settings[key]):
            raise InvalidInput(f"{name}: {key} must be a finite number, not {value!r}")
    return settings


def parse_seeds(text: str) -> list[int]:
    """Seeds from "0,1,2"."""
    return _parse_numbers(text, int, 2**32 - 1, "seeds must be different whole numbers from 0 to 2**32 - 1, like 0,1,2")


def parse_rates(text: str) -> list[float]:
    """Learning rates from "1e-4,2e-4", ascending."""
    rule = "learning rates to try must be different finite numbers above 0, like 1e-4,2e-4"
    rates = _parse_numbers(text, float, math.inf, rule)
    if 0 in rates or math.inf in rates:
        raise InvalidInput(f"{rule}, not {text!r}")
    return sorted(rates)


def parse_conflicts(text: str) -> list[float]:
    """Conflicts from "0,0.25,1"."""
    return _parse_numbers(text, float, math.inf, "conflicts must be different numbers from 0 to 1, like 0,0.5,1")


def _parse_numbers(text: str, kind: Callable[[str], Any], most: float, rule: str) -> list[Any]:
    try:
        numbers = [kind(part) + 0 for part in text.split(",")]  # -0 is 0
    except ValueError:
        numbers = []
    within = text.isascii() and all(0 <= number <= most for number in numbers)
    if not numbers or not within or len(set(numbers)) != len(numbers):
        raise InvalidInput(f"{rule}, not {text!r}")
    return numbers


def parse_names(text: str | None) -> list[str]:
    """Names from "a,b"; none where nothing is asked for."""
    names = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(names):
        raise InvalidInput(f"a name is missing in {text!r}: write names with commas between them")
    return names

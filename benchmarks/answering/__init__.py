"""Ways of answering: a linear head for each task; for multiple choice, scored pairs, likelihood or generated text; for
questions on pictures, words generated after them."""

from __future__ import annotations

from typing import Any

from benchmarks.answering.heads import Heads
from benchmarks.answering.language import Generation, Likelihood
from benchmarks.answering.pairs import Pairs
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.answering.way import OUTPUTS, TaskModel, Way
from benchmarks.suite import Suite

WAYS: dict[str, type[Way]] = {way.name: way for way in (Heads, Pairs, Likelihood, Generation, VisionLanguage)}

__all__ = ["OUTPUTS", "WAYS", "Generation", "Heads", "Pairs", "TaskModel", "VisionLanguage", "Way", "way_of", "ways_for"]


def ways_for(suite: Suite) -> list[type[Way]]:
    """Those that answer what a suite asks."""
    if suite.pictures:
        return [VisionLanguage]
    return [Pairs, Likelihood, Generation] if suite.choice else [Heads]


def way_of(answering: dict[str, Any] | None) -> Way:
    """The way a record names, with its settings; plain heads where it names none."""
    if answering is None:
        return Heads()
    settings = {name: value for name, value in answering.items() if name != "way"}
    return WAYS[answering["way"]](**settings)

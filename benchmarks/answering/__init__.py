"""Ways of answering: a linear head for each task; for multiple choice, scored pairs, likelihood or generated text."""

from __future__ import annotations

from typing import Any

from benchmarks.answering.heads import Heads
from benchmarks.answering.language import Generation, Likelihood
from benchmarks.answering.pairs import Pairs
from benchmarks.answering.way import OUTPUTS, TaskModel, Way

WAYS: dict[str, type[Way]] = {way.name: way for way in (Heads, Pairs, Likelihood, Generation)}
CHOICE_WAYS = {name: way for name, way in WAYS.items() if way is not Heads}

__all__ = ["CHOICE_WAYS", "OUTPUTS", "WAYS", "Generation", "Heads", "Pairs", "TaskModel", "Way", "way_of"]


def way_of(answering: dict[str, Any] | None) -> Way:
    """The way a record names, with its settings; plain heads where it names none."""
    if answering is None:
        return Heads()
    settings = {name: value for name, value in answering.items() if name != "way"}
    return WAYS[answering["way"]](**settings)

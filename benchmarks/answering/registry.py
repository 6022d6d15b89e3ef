"""The answer modes by name, and which of them suit a suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.causal_lm import Generation, Likelihood
from benchmarks.answering.cloze import Cloze
from benchmarks.answering.heads import Heads
from benchmarks.answering.pairs import Pairs
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.suites.spec import Suite

ANSWER_MODES: dict[str, type[AnswerMode]] = {
    mode.name: mode for mode in (Heads, Pairs, Likelihood, Cloze, Generation, VisionLanguage)
}


def answer_modes_for(suite: Suite) -> list[type[AnswerMode]]:
    """Those that answer what a suite asks."""
    if suite.pictures:
        return [VisionLanguage]
    return [Pairs, Likelihood, Cloze, Generation] if suite.choice else [Heads]


def read_answer_mode(answering: Mapping[str, Any] | None) -> AnswerMode:
    """The mode a record names, with its settings; plain heads where it names none."""
    if answering is None:
        return Heads()
    settings = {name: value for name, value in answering.items() if name != "way"}
    return ANSWER_MODES[answering["way"]](**settings)

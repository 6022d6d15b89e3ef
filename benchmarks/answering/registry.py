"""The answer modes by name, and which of them suit a suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.bi_encoder import BiEncoder
from benchmarks.answering.cloze import Cloze
from benchmarks.answering.heads import Heads
from benchmarks.answering.responses import Generation, Likelihood
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.records.config import RENAMED_MODES, plain
from benchmarks.suites.spec import Suite
from mtl_lora.errors import unknown

ANSWER_MODES: dict[str, type[AnswerMode]] = {
    mode.name: mode for mode in (Heads, BiEncoder, Likelihood, Cloze, Generation, VisionLanguage)
}


def answer_modes_for(suite: Suite) -> list[type[AnswerMode]]:
    """Those that answer what a suite asks."""
    if suite.pictures:
        return [VisionLanguage]
    if suite.written:
        return [Generation]
    return [BiEncoder, Likelihood, Cloze, Generation] if suite.choice else [Heads]


def find_answer_mode(name: str) -> type[AnswerMode]:
    """The mode of that name, or of that earlier name; InvalidInput that lists those there are."""
    name = RENAMED_MODES.get(name, name)
    if name not in ANSWER_MODES:
        raise unknown("answer mode", name, ANSWER_MODES)
    return ANSWER_MODES[name]


def recorded_answer_mode(mode: AnswerMode) -> dict[str, Any] | None:
    """The mode with its settings as a record names it; None for plain heads."""
    if mode == Heads():
        return None
    first_names = {today: first for first, today in RENAMED_MODES.items()}
    return {"way": first_names.get(mode.name, mode.name), **plain(mode)}


def read_answer_mode(answering: Mapping[str, Any] | None) -> AnswerMode:
    """The mode a record names, with its settings; plain heads where it names none."""
    if answering is None:
        return Heads()
    settings = {name: value for name, value in answering.items() if name != "way"}
    return find_answer_mode(answering["way"])(**settings)

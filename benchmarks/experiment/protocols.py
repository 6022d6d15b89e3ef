"""How methods are compared: ``matched``, one recipe and parameter budget for all; ``tuned``, each at its own best learning
rate; ``paper``, as the released scripts do.

What the scripts that were released with the MTL-LoRA paper set for each method differs in more than the method: learning
rate, warm-up, the length at which samples are cut, and the rule by which a generated text counts as an answer; and the same
rank gives them from 1 to 3.2 times as many parameters. Source: pUmpKin-Co/MTL-LoRA, revision 7848a70, commonsense scripts
and both of its evaluators.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.answering.responses import Generation
from benchmarks.experiment.tuning import HALVED, REDUCED
from benchmarks.records.recipe import Backbone, Recipe
from mtl_lora.errors import unknown

RANK, ALPHA = 8, 16  # of the released example, for every method
PROTOCOLS = {
    "matched": "at each budget as many adapter parameters for each method, and one recipe for all",
    "tuned": "at each budget as many adapter parameters for each method, and each at its own best learning rate",
    REDUCED: "as tuned, with every second learning rate tried and fewer seeds",
    HALVED: "as tuned, with the better half of learning rates tried with each further seed, up to a budget of trials",
    "paper": f"each method as released, all at rank {RANK}: parameters, rates, warm-ups and lengths differ",
}


@dataclass(frozen=True)
class Released:
    """What the released scripts set for one method. max_length: tokens. match: see ``benchmarks.answering.prompts``."""

    learning_rate: float
    warmup: float
    max_length: int
    match: str


RELEASED = {
    "lora": Released(2e-4, 0.03, 512, "words"),
    "dora": Released(3e-4, 0.03, 512, "words"),
    "multilora": Released(3e-4, 0.01, 512, "words-or-digits"),
    "moelora": Released(3e-4, 0.01, 512, "words-or-digits"),
    "mtl-lora": Released(3e-4, 0.01, 256, "words-or-digits"),
}


def released(method: str) -> Released:
    """The settings of a method, or InvalidInput that lists those the scripts know."""
    if method not in RELEASED:
        raise unknown("method of protocol paper", method, RELEASED)
    return RELEASED[method]


def as_released(method: str, recipe: Recipe, backbone: Backbone, mode: Generation) -> tuple[Recipe, Backbone, Generation]:
    """What the scripts of a method set, in place of the study's."""
    script = released(method)
    return (
        dataclasses.replace(recipe, learning_rate=script.learning_rate, warmup=script.warmup),
        dataclasses.replace(backbone, max_length=script.max_length),
        dataclasses.replace(mode, match=script.match),
    )

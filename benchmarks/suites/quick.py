"""``quick``: four domains on the generated world of ``benchmarks.world``, each task asked by two readers."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.spec import Suite, Task
from benchmarks.world.forms import CAPTIONS, VERSION
from benchmarks.world.language import READERS, VALUES

TRUTH = {"labels": ("no", "yes"), "metrics": ("accuracy",)}
GRADES = {"metrics": ("pearson", "spearman")}
PAIR, PICTURE = {"inputs": ("text", "text_pair")}, {"inputs": ("text",), "picture_column": "picture"}


def _choice(*options: str) -> dict[str, Any]:
    return {"labels": options, "metrics": ("accuracy",)}


FORMS: dict[str, dict[str, dict[str, Any]]] = {  # domain -> form -> what its two tasks have in common
    "nlu": {
        "sense": {"summary": "does the sentence make sense?", "inputs": ("text",), **TRUTH},
        "entail": {"summary": "does the first sentence entail the second?", **PAIR, **TRUTH},
        "similar": {"summary": "how well do two phrases agree, from 0 to 2?", "scale": (0.0, 2.0), **PAIR, **GRADES},
    },
    "commonsense": {
        "which": {"summary": "which of two is it?", **PAIR, **_choice("first", "second")},
        "finish": {"summary": "which of three words ends the story?", **PAIR, **_choice("first", "second", "third")},
        "owner": {"summary": "who of two has it?", **PAIR, **_choice("first", "second")},
    },
    "image-text": {
        "vqa": {"summary": "what size, side, fill or height has it?", **PICTURE, **_choice(*VALUES)},
        "compose": {"summary": "which is it, what is seen or what is known?", **PICTURE, **_choice("seen", "known")},
        "true": {"summary": "is the sentence true of the picture?", **PICTURE, **TRUTH},
        "caption": {"summary": "a caption of two words", **PICTURE, **_choice(*CAPTIONS)},
    },
    "ads": {
        "relevance": {"summary": "how well does the ad answer the query, 0 to 3?", "scale": (0.0, 3.0), **PAIR, **GRADES},
        "offers": {"summary": "do two offers sell the same?", **PAIR, "labels": ("no", "yes"), "metrics": ("f1",)},
        "intent": {"summary": "to which aisle does the query lead?", "inputs": ("text",), **_choice(*VALUES)},
    },
}

SUITE = Suite(
    name="quick",
    summary="four domains on a generated world, with a knob for the conflict between tasks; offline",
    tasks=tuple(
        Task(
            name=f"{form}-{reader}",
            dataset="world",
            config=f"{form}-{reader}",
            revision=VERSION,
            test_split="test",
            head=form,
            group=domain,
            conflict=0.5,
            **common,
        )
        for domain, forms in FORMS.items()
        for form, common in forms.items()
        for reader in READERS
    ),
    preset="embedded",
    notes=(
        "Generated data: scores compare methods under controlled conditions and say nothing of real tasks.",
        "Two readers, north and south, ask every question; conflict is the share of questions that they answer in opposite "
        "ways. The reader is named in the text; the two tasks of a question share their head.",
    ),
)

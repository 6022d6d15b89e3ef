"""``commonsense``: the eight sets of LLM-Adapters (Hu et al., 2023, arXiv 2304.01933), in their wording.

Each task has its own train file; their union is the set known as commonsense_170k, which lost the tasks of its rows.
"""

from __future__ import annotations

from functools import partial

from benchmarks.suites.spec import Cloze, Suite, Task

# GitHub's raw files have no short hashes; the branch has not moved since 8166572 (10 March 2024), and records hold
# fingerprints of the rows.
SET = partial(
    Task,
    dataset="AGI-Edgerunners/LLM-Adapters",
    revision="main",
    files="dataset/{config}/{split}.json",
    inputs=("instruction",),
    label_column="answer",
    choice=True,
    metrics=("accuracy",),
    test_split="test",
)

CONTINUED = Cloze(context="{question}")  # these two are to be continued, as lm-evaluation-harness does; the rest is asked


def _names(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word}{place}" for place in range(1, count + 1))


SUITE = Suite(
    name="commonsense",
    summary="eight multiple-choice sets of commonsense and science questions, in the wording of LLM-Adapters",
    tasks=(
        SET(
            name="boolq",
            summary="yes or no, the passage not given",
            config="boolq",
            labels=("true", "false"),
            cloze=Cloze(options=("yes", "no")),
        ),
        SET(name="piqa", summary="which of two ways works?", config="piqa", labels=_names("solution", 2)),
        SET(name="siqa", summary="what do people do, want or feel?", config="social_i_qa", labels=_names("answer", 3)),
        SET(
            name="hellaswag",
            summary="which of four endings follows?",
            config="hellaswag",
            labels=_names("ending", 4),
            cloze=CONTINUED,
        ),
        SET(
            name="winogrande",
            summary="which of two fills the blank?",
            config="winogrande",
            labels=_names("option", 2),
            cloze=Cloze(blank="_"),
        ),
        SET(name="arc-e", summary="easy science questions", config="ARC-Easy", labels=_names("answer", 5)),
        SET(name="arc-c", summary="hard science questions", config="ARC-Challenge", labels=_names("answer", 5)),
        SET(
            name="obqa",
            summary="elementary science put to use",
            config="openbookqa",
            labels=_names("answer", 4),
            cloze=CONTINUED,
        ),
    ),
    notes=("BoolQ is asked without its passage, as LLM-Adapters does.",),
)

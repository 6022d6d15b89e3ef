"""Prompts of generated answers, and how an answer is found in a text.

``same``: Stanford Alpaca's template (Taori et al., 2023), the same in training and evaluation. ``released``: what the
released MTL-LoRA scripts use, whose lines are indented and whose two sides differ in blanks (inherited from LLM-Adapters).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PROMPTS = ("same", "released")
MATCHES = ("words", "words-or-digits")
MARKER = "### Response:"
TASK = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
INDENT = " " * 16


def prompt(instruction: str, style: str, training: bool, given: str | None = None) -> str:
    """All that stands in front of the response. given: what the instruction is about, which has a part of its own."""
    if style == "same" and given is not None:
        return f"{WITH_INPUT}\n\n### Instruction:\n{instruction}\n\n### Input:\n{given}\n\n{MARKER}\n"
    if style == "same":
        return f"{TASK}\n\n### Instruction:\n{instruction}\n\n{MARKER}\n"
    after, blank = ("  ", INDENT) if training else (" ", "")
    lines = [TASK + after, blank, f"{INDENT}### Instruction:", f"{INDENT}{instruction}", blank, f"{INDENT}{MARKER}", INDENT]
    return "\n".join(lines)


def response(name: str) -> str:
    """What a model is trained to say where the option of that name is right."""
    return f"the correct answer is {name}"


def find_answer(text: str, names: Sequence[str], match: str) -> int | None:
    """The place in ``names`` of the answer that a generated text gives, None where it gives none.

    words: the first option name in the text, case-sensitive. words-or-digits: where there is none, and the names end in
    numbers, the first of the digits 1 to 4 stands for its option, as in the released evaluation of MTL-LoRA, MultiLoRA and
    MoELoRA, but not in that of LoRA and DoRA.
    """
    found = re.search("|".join(map(re.escape, names)), text)
    if found:
        return names.index(found[0])
    if match == "words-or-digits" and names[0] == "answer1" and (digit := re.search("[1-4]", text)):
        return int(digit[0]) - 1
    return None

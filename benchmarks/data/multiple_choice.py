"""Multiple choice in the wording of LLM-Adapters (Hu et al., 2023): one instruction that lists its options by name.

<what is asked>: <question> Answer1: <option> Answer2: <option> Answer format: answer1/answer2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

FORMAT = "Answer format:"


class Choice(NamedTuple):
    """A question, its options, and which of them is right."""

    question: str
    options: list[str]
    label: int


def read_choice(instruction: str, answer: str, names: Sequence[str]) -> Choice:
    """Take an instruction apart.

    The options a row offers are those its answer format lists. Where the instruction does not spell them out (as with
    true/false), their names are the options. The lead sentence, up to the first colon, is no part of the question.

    Args:
        instruction: All of it, answer format and options too.
        answer: The name of the right option.
        names: Of the options a task can have, in order.

    Raises:
        ValueError: It cannot be taken apart; says what is wrong.
    """
    body, found, listed = instruction.rpartition(FORMAT)
    if not found:
        raise ValueError(f"its instruction has no {FORMAT!r}")
    offered = listed.strip().split("/")
    if offered != list(names[: len(offered)]):
        raise ValueError(f"it offers {'/'.join(offered)}, not the first of {'/'.join(names)}")
    if len(offered) < 2:
        raise ValueError("it offers a single option, and there is nothing to choose")
    if answer not in offered:
        raise ValueError(f"its answer {answer!r} is none of {'/'.join(offered)}")
    question = body.partition(": ")[2].strip()
    options = offered
    if offered[0][-1].isdigit():
        options = []
        for name in reversed(offered):
            question, found, option = question.rpartition(f"{name.capitalize()}: ")
            if not found:
                raise ValueError(f"option {name} is not listed")
            options.insert(0, option.strip())
    if not question.strip():
        raise ValueError("it has no question")
    return Choice(question.strip(), options, offered.index(answer))

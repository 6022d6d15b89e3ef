"""How methods are shown. Apart from the methods themselves, so that who only shows them need not load torch."""

from __future__ import annotations

from collections.abc import Iterable

FIRST = ("lora", "dora", "multilora", "moelora")
BOUNDS = ("heads-only", "lora-per-task", "full")
LARGER = "lora-larger"
REFERENCES = (*BOUNDS, LARGER)  # methods that others are compared with, outside the budget
OURS = "mtl-lora"
PAPER = (*FIRST, OURS)  # what the paper of MTL-LoRA compares


def beyond(names: Iterable[str]) -> list[str]:
    """The methods among them that the paper does not compare, bounds aside, in the order of display."""
    return order_for_display(name for name in names if name not in (*PAPER, *REFERENCES))


def order_for_display(labels: Iterable[str]) -> list[str]:
    """Method labels as tables list them: baselines from the plainest on, MTL-LoRA, others beyond the paper, then bounds."""

    def place(label: str) -> tuple[int, str]:
        name = label.partition(":")[0]
        if name in REFERENCES:
            return len(PAPER) + 1 + REFERENCES.index(name), label
        return (PAPER.index(name) if name in PAPER else len(PAPER)), label

    return sorted(labels, key=place)

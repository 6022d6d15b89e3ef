"""How methods are shown. Apart from the methods themselves, so that who only shows them need not load torch."""

from __future__ import annotations

from collections.abc import Iterable

FIRST = ("lora", "dora", "multilora", "moelora")
REFERENCES = ("heads-only", "lora-per-task", "full")  # methods that are bounds to compare with
OURS = "mtl-lora"
LAST = (OURS, *REFERENCES)


def order_for_display(labels: Iterable[str]) -> list[str]:
    """Method labels as tables list them: baselines from the plainest on, MTL-LoRA, then what they are compared with."""

    def place(label: str) -> tuple[int, str]:
        name = label.partition(":")[0]
        if name in LAST:
            return len(FIRST) + 1 + LAST.index(name), label
        return (FIRST.index(name) if name in FIRST else len(FIRST)), label

    return sorted(labels, key=place)

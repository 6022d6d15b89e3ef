"""The order in which methods are shown."""

from __future__ import annotations

from collections.abc import Iterable

from mtl_lora import MTLLoRA


def order_for_display(labels: Iterable[str]) -> list[str]:
    """Method labels as tables list them: baselines from the plainest on, MTL-LoRA, then what they are compared with."""
    order = ["lora", "dora", "multilora", "moelora"]
    last = [MTLLoRA.name, "heads-only", "lora-per-task", "full"]

    def place(label: str) -> tuple[int, str]:
        name = label.partition(":")[0]
        if name in last:
            return len(order) + 1 + last.index(name), label
        return (order.index(name) if name in order else len(order)), label

    return sorted(labels, key=place)

"""Runs that need more memory than there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mtl_lora import InvalidInput

ON_A_CPU = "can't allocate memory"  # torch has a kind of error of its own for accelerators alone


@contextmanager
def within_memory(run: str) -> Iterator[None]:
    """What a run that ran out of memory can do about it, in one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError) and ON_A_CPU not in str(error):
            raise
        raise InvalidInput(
            f"{run} needs more memory than there is: a larger --accumulation and --gradient-checkpointing need less, "
            "for the same results"
        ) from error

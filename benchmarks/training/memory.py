"""Runs that need more memory than there is."""

from __future__ import annotations

import torch

ON_A_CPU = "can't allocate memory"  # torch has a kind of error of its own for accelerators alone
ADVICE = "more memory is needed than there is: a larger --accumulation and --gradient-checkpointing need less"


def out_of_memory(error: Exception) -> bool:
    """Whether this is what an error says, on any device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ON_A_CPU in str(error)
    )

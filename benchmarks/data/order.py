"""The order in which the rows of a task are taken: it depends on the task's name alone, not on method, seed or machine."""

from __future__ import annotations

import hashlib

import numpy as np


def row_order(task: str, size: int) -> np.ndarray:
    """The places of ``size`` rows, in the order in which the task of that name takes them."""
    return np.random.default_rng(stable_hash(task)).permutation(size)


def stable_hash(text: str) -> int:
    """64 bits of sha256, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

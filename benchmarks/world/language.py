"""The words of the world and what is true of its kinds of things."""

from __future__ import annotations

import random

# Four dimensions, each with a pair of opposite words. Both readers agree on the first two, and dispute the last two.
AGREED = {"size": ("big", "small"), "side": ("left", "right")}
DISPUTED = {"fill": ("solid", "hollow"), "height": ("top", "bottom")}
DIMENSIONS = AGREED | DISPUTED
OPPOSITE = {a: b for pair in DIMENSIONS.values() for a, b in (pair, pair[::-1])}
VALUES = tuple(OPPOSITE)

# The i-th kind has the values that the last four bits of i say: every combination belongs to two kinds.
KINDS = """
    whale ant drum brick bell stone boat root lamp nest coin cart pipe seed vase plank
    tower leaf barrel anvil bottle pearl kettle bench shell candle pot wheel basket nail jar rope
""".split()  # noqa: SIM905
COLOURS = {"red": (214, 39, 40), "blue": (31, 119, 220), "green": (44, 160, 44), "yellow": (240, 200, 30)}
SHAPES = ("ball", "box", "cone", "bar")
PEOPLE = ("anna", "bob", "carl", "dora", "emil", "fay")
PLACES = ("garden", "kitchen", "harbour", "school")
READERS = ("north", "south")


def value_of(kind: str, dimension: str) -> str:
    """The word of that dimension that is true of the kind: value_of("whale", "size") == "big"."""
    bit = list(DIMENSIONS).index(dimension)
    return DIMENSIONS[dimension][KINDS.index(kind) >> bit & 1]


def unlike(kind: str, dimension: str, rng: random.Random) -> str:
    """Another kind, with the opposite value in that dimension."""
    return rng.choice([other for other in KINDS if value_of(other, dimension) != value_of(kind, dimension)])


def alike(kind: str, dimension: str, rng: random.Random) -> str:
    """Another kind with the same value in that dimension."""
    return rng.choice([k for k in KINDS if k != kind and value_of(k, dimension) == value_of(kind, dimension)])

"""Unlabelled text and pictures of the world, for pretraining: what is true of it in the northern reader's words.

No reader is named beside a statement, and no task's wording, options or answers occur.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from benchmarks.world.language import COLOURS, DIMENSIONS, KINDS, OPPOSITE, PEOPLE, PLACES, alike, unlike, value_of
from benchmarks.world.pictures import draw_thing, render

Document = tuple[str, np.ndarray | None]


def documents(seed: int) -> Iterator[Document]:
    """Documents without end: a text, and for every other one a picture (20, 20, 3) that it describes."""
    rng = random.Random(seed)
    while True:
        yield _described(rng) if rng.random() < 0.5 else (_fact(rng), None)


def _fact(rng: random.Random) -> str:
    kind, who, where = rng.choice(KINDS), rng.choice(PEOPLE), rng.choice(PLACES)
    first, second = rng.sample(list(DIMENSIONS), 2)
    a, b = value_of(kind, first), value_of(kind, second)
    colour = rng.choice(list(COLOURS))
    return rng.choice(
        (
            f"the {kind} is {a} and {b} , not {OPPOSITE[a]}",
            f"{first} of the {kind} : {a} . {second} of the {kind} : {b}",
            f"{who} has a {kind} . it is {a} and {b}",
            f"{who} saw something {a} in the {where} , the {kind}",
            f"the {kind} and the {alike(kind, first, rng)} are {a}",
            f"the {kind} is {a} but the {unlike(kind, first, rng)} is {OPPOSITE[a]}",
            f"{who} sells a {colour} {kind} toy for the {where} . the toy is {a} and {b}",
            f"{who} lives in the {rng.choice(('north', 'south'))} and has a {kind}",
        )
    )


def _described(rng: random.Random) -> Document:
    thing = draw_thing(rng)
    if rng.random() < 0.5:
        values = [getattr(thing, dimension) for dimension in DIMENSIONS]
        rng.shuffle(values)
        return f"there is a {' '.join(values)} {thing.colour} {thing.shape}", render(thing)
    first, second = (
        f"{d} of the {thing.colour} {thing.shape} : {getattr(thing, d)}" for d in rng.sample(list(DIMENSIONS), 2)
    )
    return f"{first} . {second}", render(thing)

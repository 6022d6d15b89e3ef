"""Things on a grid of two by two cells, and their pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.world.language import COLOURS, DIMENSIONS, SHAPES

GRID = 2  # cells a side; one patch of the picture each
CELL = 10  # pixels a side of a cell
RADIUS = {"big": 4, "small": 2}


@dataclass(frozen=True)
class Thing:
    """What a picture shows: one thing, in one of the cells."""

    size: str
    fill: str
    colour: str
    shape: str
    side: str
    height: str


def draw_thing(rng: random.Random) -> Thing:
    """A random thing."""
    values = {dimension: rng.choice(words) for dimension, words in DIMENSIONS.items()}
    return Thing(colour=rng.choice(list(COLOURS)), shape=rng.choice(SHAPES), **values)


def render(thing: Thing) -> np.ndarray:
    """The picture of a thing: uint8 (20, 20, 3)."""
    image = Image.new("RGB", (GRID * CELL, GRID * CELL), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    column, row = thing.side == "right", thing.height == "bottom"
    x, y = ((cell + 0.5) * CELL - 0.5 for cell in (column, row))
    r, colour = RADIUS[thing.size], COLOURS[thing.colour]
    box = (x - r, y - r, x + r, y + r)
    paint: dict[str, Any] = {"fill": colour} if thing.fill == "solid" else {"outline": colour}
    match thing.shape:
        case "ball":
            pen.ellipse(box, **paint)
        case "box":
            pen.rectangle(box, **paint)
        case "cone":
            pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], **paint)
        case "bar":
            pen.rectangle((x - r, y - r / 2, x + r, y + r / 2), **paint)
    return np.asarray(image)


def patches(pictures: np.ndarray) -> np.ndarray:
    """Pictures, uint8 (n, 20, 20, 3), cut into their cells: float32 (n, 4, 300), from 0, the paper, to 1, ink."""
    n = len(pictures)
    cells = pictures.reshape(n, GRID, CELL, GRID, CELL, 3).transpose(0, 1, 3, 2, 4, 5)
    return 1 - cells.reshape(n, GRID * GRID, CELL * CELL * 3).astype(np.float32) / 255

"""Scenes of two things on a grid, and their pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.world.language import COLOURS, SHAPES

GRID = 2  # cells a side; one patch of the picture each
CELL = 10  # pixels a side of a cell
RADIUS = {"big": 4, "small": 2}


@dataclass(frozen=True)
class Thing:
    """What is drawn in one cell."""

    size: str
    fill: str
    colour: str
    shape: str
    column: int
    row: int


@dataclass(frozen=True)
class Scene:
    """Two things that differ in colour, shape, column and row: each can be named, and lies on a side and at a height."""

    first: Thing
    second: Thing

    def value(self, thing: Thing, dimension: str) -> str:
        """The word of that dimension that is true of a thing; side and height are seen from the other thing."""
        other = self.second if thing is self.first else self.first
        if dimension == "side":
            return "left" if thing.column < other.column else "right"
        if dimension == "height":
            return "top" if thing.row < other.row else "bottom"
        return getattr(thing, dimension)


def draw_scene(rng: random.Random) -> Scene:
    """A random scene."""
    columns, rows = rng.sample(range(GRID), 2), rng.sample(range(GRID), 2)
    colours, shapes = rng.sample(list(COLOURS), 2), rng.sample(SHAPES, 2)
    things = (
        Thing(rng.choice(("big", "small")), rng.choice(("solid", "hollow")), colours[i], shapes[i], columns[i], rows[i])
        for i in (0, 1)
    )
    return Scene(*things)


def render(scene: Scene) -> np.ndarray:
    """The picture of a scene: uint8 (20, 20, 3)."""
    image = Image.new("RGB", (GRID * CELL, GRID * CELL), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for thing in (scene.first, scene.second):
        x, y = ((cell + 0.5) * CELL - 0.5 for cell in (thing.column, thing.row))
        r, colour = RADIUS[thing.size], COLOURS[thing.colour]
        box = (x - r, y - r, x + r, y + r)
        paint = {"fill": colour} if thing.fill == "solid" else {"outline": colour}
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

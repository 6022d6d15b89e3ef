"""Pictures of tasks: found by key, known by content."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from datasets import Dataset
from PIL import Image, UnidentifiedImageError

from benchmarks.data.columns import key_in_rows
from benchmarks.sources import Source
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Picture:
    """A picture that is read when it is needed. name: for messages."""

    rows: Dataset
    row: int
    column: str
    name: str

    def content(self) -> bytes:
        """The encoded file; InvalidInput where there is none."""
        value = self.rows[self.row][self.column]
        if not value or value["bytes"] is None:
            raise InvalidInput(f"picture {self.name} is missing")
        return value["bytes"]


@dataclass(frozen=True)
class PictureBook:
    """The pictures of a split of a task, by the keys that ``benchmarks.data.columns`` gives them."""

    pictures: dict[str, Picture]
    origin: str

    @classmethod
    def open(cls, task: Task, source: Source, split: str) -> PictureBook:
        """All pictures of the split, none of them read yet."""
        where, origin = task.pictures, source.origin(task, split)
        assert where is not None
        rows = source.picture_rows(task, split)
        if where.config is None:
            places = [(row, column) for row in range(len(rows)) for column in where.columns]
            keys = {key_in_rows(origin, *place): place for place in places}
        else:
            keys = {str(key): (row, where.image) for row, key in enumerate(rows[where.key])}
            if len(keys) < len(rows):
                raise InvalidInput(f"{origin}: two pictures have the same {where.key}")
        return cls({key: Picture(rows, *place, key) for key, place in keys.items()}, origin)

    def by_content(self, rows: Dataset) -> tuple[Dataset, dict[str, Picture]]:
        """The rows with the sha256 of each picture in place of its key, and the pictures by it.

        InvalidInput where a row names a picture that there is none of.
        """
        hashes: dict[str, str] = {}
        for number, keys in zip(rows["row"], rows["pictures"], strict=True):
            for key in keys:
                if key not in self.pictures:
                    raise InvalidInput(f"{self.origin}, row {number}: no picture {key!r} is among the {len(self.pictures)}")
                if key not in hashes:
                    hashes[key] = hashlib.sha256(self.pictures[key].content()).hexdigest()
        contents = [[hashes[key] for key in keys] for keys in rows["pictures"]]
        replaced = rows.remove_columns("pictures").add_column("pictures", contents)
        return replaced, {content: self.pictures[key] for key, content in hashes.items()}


def decode(content: bytes, name: str) -> Image.Image:
    """A picture in RGB, on white where it is transparent; InvalidInput by its name where it cannot be read."""
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InvalidInput(f"picture {name} cannot be read: {error}") from error
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")

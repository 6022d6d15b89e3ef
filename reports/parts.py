"""What the page is made of: sections of parts of tables and figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reports.figures.style import Figure
from reports.tables.table import Table

Block = Table | Figure


@dataclass(frozen=True)
class Part:
    """What belongs together. anchor: where links lead. points: plain sentences. folded: read on demand. parts: within it."""

    title: str
    anchor: str
    points: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    folded: bool = False
    parts: Sequence[Part] = ()

    def all_blocks(self) -> Iterator[Block]:
        """Its own and those of its parts."""
        yield from self.blocks
        for part in self.parts:
            yield from part.all_blocks()


@dataclass(frozen=True)
class Section:
    """All of a suite."""

    name: str
    summary: str
    parts: list[Part] = field(default_factory=list)


def slug(text: str) -> str:
    """A name for files and links."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")

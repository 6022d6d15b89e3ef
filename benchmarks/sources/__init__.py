"""Where data sets and models come from: the hub, or a mirror folder of plain clones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.sources.backbones import Backbones
from benchmarks.sources.datasets import Datasets


@dataclass(frozen=True)
class Source(Datasets, Backbones):
    """Loads by hub id. With a mirror, everything comes from it: ``mirror/datasets/<id>`` and ``mirror/models/<id>``.

    features: folder in which what a vision model makes of pictures is kept; in the user's cache unless given.
    """

    features: Path | None = None

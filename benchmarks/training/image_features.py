"""What a frozen vision model makes of pictures: computed once, kept on disk by the content of each picture."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from PIL import Image
from torch import Tensor, nn

from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.data.images import Picture, decode
from benchmarks.progress import shown
from benchmarks.records.leases import Leases
from benchmarks.records.store import write_whole
from benchmarks.sources import Source
from benchmarks.sources.location import cache_folder
from mtl_lora.errors import InvalidInput

FORMAT = 1
EVEN = 1e-6  # least variance that is divided by
ABOUT = "about.json"
POLL_SECONDS = 0.2


class Features:
    """Features of pictures by their content: float16 (grid ** 2, width), row by row from the top left.

    Every vision model at every grid has a folder of its own, which says whose features it holds, with a file a picture.
    """

    statistics: tuple[Tensor, Tensor]  # of training pictures, once they are measured

    def __init__(self, mode: VisionLanguage, source: Source) -> None:
        self.mode, self.source = mode, source
        self.about = {"format": FORMAT, "model": mode.vision, "revision": mode.vision_revision, "grid": mode.grid}
        name = (
            f"{mode.vision.replace('/', '--')}-{mode.vision_revision.removeprefix('sha256:')[:12]}-{mode.grid}x{mode.grid}"
        )
        self.folder = (source.features or cache_folder() / "features") / name
        about = self.folder / ABOUT
        if about.exists() and _read(about) != self.about:
            raise InvalidInput(
                f"{self.folder} does not hold features of {mode.vision} at revision {mode.vision_revision}, grid "
                f"{mode.grid} (format {FORMAT}): remove it, or choose another folder with --features"
            )

    def compute(self, pictures: Mapping[str, Picture]) -> None:
        """Compute and keep what is missing. InvalidInput names a picture that cannot be read; what was computed before is
        kept. Processes that need the same at the same time, of this job or another, share the work and wait for each other.

        The model reads pictures one by one, so that what it makes of one depends on nothing else.
        """
        missing: dict[str, list[str]] = {}  # by the folder of their files
        for content in pictures:
            if not self._path(content).exists():
                missing.setdefault(self._path(content).parent.name, []).append(content)
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / ABOUT).exists():
                about = json.dumps(self.about, indent=1) + "\n"
                write_whole(self.folder / ABOUT, lambda temporary: temporary.write_text(about, encoding="utf-8"))
            self._share(missing, pictures)
        PartialState().wait_for_everyone()

    def _share(self, missing: dict[str, list[str]], pictures: Mapping[str, Picture]) -> None:
        """Compute folder by folder, each by the process that holds its lease."""
        tower, total = VisionTower(self.mode, self.source), sum(map(len, missing.values()))
        with (
            closing(Leases(self.folder)) as leases,
            shown("pictures", total, PartialState().is_main_process) as advance,
        ):
            while missing:
                free = next(filter(leases.take, missing), None)
                if free is None:
                    time.sleep(POLL_SECONDS)
                    continue
                for content in missing.pop(free):
                    if not self._path(content).exists():  # else another process has computed it meanwhile
                        _keep(tower(decode(pictures[content].content(), pictures[content].name)), self._path(content))
                    advance()
                leases.give_up(free)

    def __getitem__(self, content: str) -> np.ndarray:
        path = self._path(content)
        try:
            features = np.load(path)
        except (ValueError, EOFError) as error:
            raise InvalidInput(f"{path} is not a file of features ({error}); remove it") from error
        if features.shape != (self.mode.grid**2, self.mode.vision_width) or not np.isfinite(features).all():
            raise InvalidInput(f"{path} holds no features {self.mode.grid**2} x {self.mode.vision_width}; remove it")
        return features

    def measure(self, contents: Iterable[str]) -> None:
        """Take ``statistics`` of these pictures: mean and standard deviation (width,) of their parts."""
        count, total, squares = 0, 0.0, 0.0
        for content in contents:
            parts = self[content].astype(np.float64)
            count, total, squares = count + len(parts), total + parts.sum(0), squares + (parts**2).sum(0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, EVEN))
        self.statistics = torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()

    def _path(self, content: str) -> Path:
        return self.folder / content[:2] / f"{content}.npy"


class VisionTower:
    """A frozen vision model of transformers: the parts of its last layer, averaged to a grid."""

    def __init__(self, mode: VisionLanguage, source: Source) -> None:
        revision = mode.vision_revision or None
        self.grid = mode.grid
        self.prepare = source.image_processor(mode.vision, revision)
        whole = source.model(mode.vision, revision, torch.float32)
        self.model: nn.Module = getattr(whole, "vision_model", whole).eval()  # of CLIP and its kin, the side that sees
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, image: Image.Image) -> np.ndarray:
        pixels = self.prepare(image, return_tensors="pt")["pixel_values"].to(next(self.model.parameters()).device)
        parts = _as_map(self.model(pixel_values=pixels).last_hidden_state)
        return F.adaptive_avg_pool2d(parts, self.grid)[0].flatten(1).T.half().cpu().numpy()


class OfFiles:
    """Features of picture files by their path, computed when they are asked for."""

    def __init__(self, mode: VisionLanguage, source: Source) -> None:
        self.tower = VisionTower(mode, source)

    def __getitem__(self, path: str) -> np.ndarray:
        return self.tower(decode(Path(path).read_bytes(), path))


def _as_map(hidden: Tensor) -> Tensor:
    """(1, width, side, side) from a map, or from tokens (1, n, width), of which the last side ** 2 are parts of the picture
    (class and register tokens come first)."""
    if hidden.dim() == 4:
        return hidden
    side = int(hidden.shape[1] ** 0.5)
    return hidden[:, -(side**2) :].transpose(1, 2).unflatten(2, (side, side))


def _keep(features: np.ndarray, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # np.save would add a suffix to a name
            np.save(stream, features)

    write_whole(path, write)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None

"""What a frozen vision model makes of pictures: computed once, kept on disk by the content of each picture."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from benchmarks.answering import VisionLanguage
from benchmarks.pictures import Picture
from benchmarks.presets import Backbone
from benchmarks.progress import shown
from benchmarks.records import write_whole
from benchmarks.sources import Source
from mtl_lora.errors import InvalidInput

FORMAT = 1
EVEN = 1e-6  # least variance that is divided by
ABOUT = "about.json"


class Features:
    """Features of pictures by their content: float16 (grid ** 2, width), row by row from the top left.

    Every vision model at every grid has a folder of its own, which says whose features it holds, with a file a picture.
    """

    def __init__(self, way: VisionLanguage, source: Source) -> None:
        self.way, self.source = way, source
        self.about = {"format": FORMAT, "model": way.vision, "revision": way.vision_revision, "grid": way.grid}
        name = f"{way.vision.replace('/', '--')}-{way.vision_revision.removeprefix('sha256:')[:12]}-{way.grid}x{way.grid}"
        self.folder = source.features / name
        self.statistics: tuple[Tensor, Tensor] | None = None
        about = self.folder / ABOUT
        if about.exists() and _read(about) != self.about:
            raise InvalidInput(
                f"{self.folder} does not hold features of {way.vision} at revision {way.vision_revision}, grid {way.grid} "
                f"(format {FORMAT}): remove it, or choose another folder with --features"
            )

    def compute(self, pictures: Mapping[str, Picture]) -> None:
        """Compute and keep what is missing, the processes of a job a share each. InvalidInput names a picture that cannot be
        read; what was computed before is kept.

        The model reads pictures one by one, so that what it makes of one depends on nothing else.
        """
        job = PartialState()
        missing = [content for content in pictures if not self._path(content).exists()]
        missing = missing[job.process_index :: job.num_processes]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / ABOUT).exists():
                about = json.dumps(self.about, indent=1) + "\n"
                write_whole(self.folder / ABOUT, lambda temporary: temporary.write_text(about))
            tower = VisionTower(self.way, self.source)
            with shown("pictures", len(missing), job.is_main_process) as advance:
                for content in missing:
                    _keep(tower(decode(pictures[content].content(), pictures[content].name)), self._path(content))
                    advance()
        job.wait_for_everyone()

    def __getitem__(self, content: str) -> np.ndarray:
        path = self._path(content)
        try:
            features = np.load(path)
        except (ValueError, EOFError) as error:
            raise InvalidInput(f"{path} is not a file of features ({error}); remove it") from error
        if features.shape != (self.way.grid**2, self.way.vision_width) or not np.isfinite(features).all():
            raise InvalidInput(f"{path} holds no features {self.way.grid**2} x {self.way.vision_width}; remove it")
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

    def __init__(self, way: VisionLanguage, source: Source) -> None:
        revision = way.vision_revision or None
        self.grid = way.grid
        self.prepare = source.image_processor(way.vision, revision)
        whole = source.model(way.vision, revision, torch.float32)
        self.model: nn.Module = getattr(whole, "vision_model", whole).eval()  # of CLIP and its kin, the side that sees
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, image: Image.Image) -> np.ndarray:
        pixels = self.prepare(image, return_tensors="pt")["pixel_values"].to(next(self.model.parameters()).device)
        parts = _as_map(self.model(pixel_values=pixels).last_hidden_state)
        return F.adaptive_avg_pool2d(parts, self.grid)[0].flatten(1).T.half().cpu().numpy()


class OfFiles:
    """Features of picture files by their path, computed when they are asked for."""

    def __init__(self, way: VisionLanguage, source: Source) -> None:
        self.tower = VisionTower(way, source)

    def __getitem__(self, path: str) -> np.ndarray:
        return self.tower(decode(Path(path).read_bytes(), path))


def decode(content: bytes, name: str) -> Image.Image:
    """A picture in RGB, on white where it is transparent; InvalidInput by its name where it cannot be read."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InvalidInput(f"picture {name} cannot be read: {error}") from error
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def pinned(way: VisionLanguage, source: Source, backbone: Backbone) -> VisionLanguage:
    """The way with the revision and the width of its vision model, and the end of answers, where they are not given."""
    config = source.config(way.vision, way.vision_revision or None)
    width = getattr(getattr(config, "vision_config", config), "hidden_size", way.vision_width)
    if not width:
        raise InvalidInput(f"{way.vision} does not say how wide its features are: give vision_width=")
    if way.vision_width not in (0, width):
        raise InvalidInput(f"features of {way.vision} have width {width}, not vision_width={way.vision_width}")
    end = source.tokenizer(backbone.id, backbone.revision).eos_token_id if way.end < 0 else way.end
    if end is None:
        raise InvalidInput(f"the tokenizer of {backbone.id} has no token that ends a text: give end=")
    revision = way.vision_revision or source.revision(way.vision)
    return replace(way, vision_revision=revision, vision_width=width, end=end)


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
        return json.loads(path.read_text())
    except ValueError:
        return None

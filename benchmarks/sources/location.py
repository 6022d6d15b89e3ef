"""Where data sets and models lie: on the hub, or in a mirror folder of plain clones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.world.encoder import FOLDER as WORLD_ENCODER
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Location:
    """With a mirror, everything comes from it: ``mirror/datasets/<id>`` and ``mirror/models/<id>``."""

    mirror: Path | None = None

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise InvalidInput(f"mirror {self.mirror} is not a folder; it should hold datasets/<hub id> and models/<hub id>")

    def locate(self, kind: str, name: str, revision: str | None) -> tuple[str, str | None]:
        """What to load: a folder of the mirror, or the hub id at its revision. A local folder may stand for a model."""
        if kind == "models" and name == WORLD_ENCODER.name:
            return str(WORLD_ENCODER), None
        if kind == "models" and Path(name).is_dir():
            return name, None
        if self.mirror is None:
            return name, revision
        folder = self.mirror / kind / name
        if not folder.is_dir():
            held = sorted(str(p.relative_to(self.mirror / kind)) for p in (self.mirror / kind).glob("*/*") if p.is_dir())
            raise InvalidInput(
                f"mirror {self.mirror} lacks {kind}/{name}; it has: {', '.join(held) or 'nothing of that kind'}"
            )
        return str(folder), None


def unreachable(kind: str, name: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"cannot load {kind} {name}: {first_line(error)} (without internet, give --mirror DIR with a clone of it)"
    )


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

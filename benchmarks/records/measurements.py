"""What is kept beside run records: what diagnoses found, and what the speed benchmark measured.

Typed is what reports read; a file may hold more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat, TypeAdapter, ValidationError

from benchmarks.records.schema import Environment
from mtl_lora.errors import InvalidInput

DIAGNOSIS: Final = 1
Matrix = list[list[FiniteFloat]]
Cosines = list[list[FiniteFloat | None]]  # (tasks, tasks); None where a task has no update
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Stage:
    """Samples before or after their task's core. points: by task, on the first two principal components. explained: the
    share of the variance that each of these has. silhouette: of tasks, None where there is one."""

    points: dict[str, list[tuple[FiniteFloat, FiniteFloat]]]
    explained: tuple[FiniteFloat, FiniteFloat]
    silhouette: FiniteFloat | None


@dataclass(frozen=True)
class Separation:
    """How far the tasks lie apart in the low-rank space of a layer."""

    layer: str
    before: Stage
    after: Stage


@dataclass(frozen=True)
class Inference:
    """Times of a forward pass by that of the base alone."""

    unmerged_ratio: FiniteFloat
    merged_ratio: FiniteFloat


@dataclass(frozen=True)
class Transforms:
    """Lambda of MTL-LoRA. distance: (tasks, layers), from the identity. matrices: (tasks, r, r), of the layer that is
    named."""

    distance: Matrix
    layer: str
    matrices: list[Matrix]


@dataclass(frozen=True)
class Diagnosis:
    """What ``mtl-lora diagnose`` found inside a run.

    Of MTL-LoRA alone: mixing weights (tasks, layers, n), how far these moved (tasks, layers), and transforms.
    """

    schema: Literal[1]
    id: str
    tasks: tuple[str, ...]
    layers: tuple[str, ...]
    gradient_cosine: Cosines
    update_overlap: Cosines
    separation: Separation
    inference: Inference
    mixing: list[Matrix] | None = None
    mixing_moved: Matrix | None = None
    transforms: Annotated[Transforms | None, Field(alias="lambda")] = None


@dataclass(frozen=True)
class Timing:
    """Times of a contestant by those of PEFT's LoRA."""

    contestant: str
    step_ratio: FiniteFloat
    forward_ratio: FiniteFloat


@dataclass(frozen=True)
class Timings:
    """All contestants on one backbone in one precision."""

    backbone: str
    precision: str
    rows: list[Timing]


@dataclass(frozen=True)
class SpeedRecord:
    """What ``python -m benchmarks.speed`` measured."""

    environment: Environment
    rounds: int
    results: list[Timings]


def read_diagnosis(path: Path) -> Diagnosis:
    """A diagnosis, or InvalidInput where the file is not a whole one."""
    return _read(DIAGNOSES, path, "whole diagnosis", "remove it, and `mtl-lora diagnose` makes it again")


def read_speed(path: Path) -> SpeedRecord:
    """What the speed benchmark measured, or InvalidInput where the file does not hold that."""
    return _read(SPEED_RECORDS, path, "record of the speed benchmark", "`python -m benchmarks.speed` makes one")


def _read(kind: TypeAdapter[Kind], path: Path, what: str, advice: str) -> Kind:
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
        raise InvalidInput(f"{path} is no {what} ({why}): {advice}") from error


def _fitting(diagnosis: Diagnosis) -> Diagnosis:
    """ValueError where its parts are not of the same tasks and layers."""
    tasks, layers = len(diagnosis.tasks), len(diagnosis.layers)
    fits = _shape(diagnosis.gradient_cosine) == _shape(diagnosis.update_overlap) == (tasks, tasks)
    for stage in (diagnosis.separation.before, diagnosis.separation.after):
        fits &= (*stage.points,) == diagnosis.tasks and all(stage.points.values())
    if diagnosis.transforms is not None:
        mixing, matrices = _shape(diagnosis.mixing or ()), _shape(diagnosis.transforms.matrices)
        fits &= (
            mixing[:2] == _shape(diagnosis.mixing_moved or ()) == _shape(diagnosis.transforms.distance) == (tasks, layers)
        )
        fits &= len(mixing) == len(matrices) == 3 and matrices == (tasks, matrices[-1], matrices[-1])
    if not fits:
        raise ValueError("its parts are not of the same tasks and layers")
    return diagnosis


def _shape(values: Sequence[object]) -> tuple[int, ...]:
    """ValueError where rows are not equally long."""
    return np.array(values, dtype=float).shape


DIAGNOSES: TypeAdapter[Diagnosis] = TypeAdapter(Annotated[Diagnosis, AfterValidator(_fitting)])
SPEED_RECORDS: TypeAdapter[SpeedRecord] = TypeAdapter(SpeedRecord)

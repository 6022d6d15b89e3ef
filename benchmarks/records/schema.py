"""What is kept of a run, by type: the record of one that finished, and of one that diverged or failed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter

from benchmarks.records.config import LATER, RunConfig, plain

RUN: Final = 2


@dataclass(frozen=True)
class Git:
    """The checkout that the code lay in. dirty: files outside results/ differed from the revision."""

    revision: str
    dirty: bool


@dataclass(frozen=True)
class Environment:
    """What something ran on. packages: their versions. git: None outside a checkout. tf32: whether an accelerator may round
    products of float32. command: what was called. version: of this project."""

    python: str
    packages: dict[str, str]
    git: Git | None
    platform: str
    hardware: str
    threads: int
    tf32: bool
    command: str
    version: str | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class TaskScore:
    """How a run did on a task, 1 being perfect.

    score: the mean of the metrics. standard_error: of the score, over scored rows. majority: the score of always giving the
    answer commonest in training. unanswered: scored rows without an answer, where a row can have none.
    """

    metrics: dict[str, float]
    score: float
    standard_error: float
    majority: float
    rows: int
    train_rows: int
    unanswered: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class Parameters:
    """How many there are of each kind. trained: adapter, heads, and what of the base a method trains. budget_mismatch:
    (adapter - budget) / budget. tensors: the shape of each trained one."""

    adapter: int
    heads: int
    trained: int
    base: int
    budget_mismatch: float
    tensors: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class DevScores:
    """Each task's scores on dev, rows set apart from training, at these steps; kept where a run was asked to."""

    steps: tuple[int, ...]
    scores: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Training:
    """How training went. loss: the mean since the one before, at the steps in loss_steps. seconds: of training since
    resumed_from_step; evaluation_seconds: of scoring; that of dev_scores is in neither. peak_memory_bytes: on an
    accelerator, else of the process."""

    steps: int
    samples: int
    loss: tuple[float, ...]
    loss_steps: tuple[int, ...]
    seconds: float
    resumed_from_step: int
    evaluation_seconds: float
    peak_memory_bytes: int
    dev_scores: DevScores | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class Execution:
    """How a run was executed; none of it changes what is computed, up to rounding and the masks of dropout.

    devices: processes that shared a batch. accumulation: micro-batches per step and device. engine: that did the run, with
    so many workers, each a run at a time; the environment says with how many threads. None where they are not known.
    """

    devices: int
    accumulation: int
    gradient_checkpointing: bool
    engine: str | None = field(default=None, metadata=LATER)
    workers: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class Failure:
    """Where a run ended. step: the last one reported. losses: the last ones, None where one is no number. message: one line.

    The traceback lies beside the record.
    """

    step: int
    losses: tuple[float | None, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run. score: the mean over tasks. source: where its rows came from. created: when, in UTC.

    method_sha256: of the source of its method, None where it is not known. former_id: by which an earlier schema called it.
    own_suite: what its suite is, where it is none of this package's; ``benchmarks.suites.recorded_suite`` reads it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema: Literal[2] = RUN
    status: Literal["finished"] = "finished"
    id: str
    config: RunConfig
    score: float
    scores: dict[str, TaskScore]
    parameters: Parameters
    training: Training
    execution: Execution
    environment: Environment
    source: Literal["generated", "files", "mirror", "hub"]
    created: str
    method_sha256: str | None = None
    former_id: str | None = field(default=None, metadata=LATER)
    own_suite: dict[str, JsonValue] | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """A run that has no scores: its loss or outputs became no numbers (diverged), or anything else went wrong (failed)."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema: Literal[2] = RUN
    status: Literal["diverged", "failed"]
    id: str
    config: RunConfig
    failure: Failure
    execution: Execution
    environment: Environment
    created: str


Record = RunRecord | FailureRecord
RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="status")])


def to_json(record: Record) -> str:
    """The text of a record's file."""
    return json.dumps(plain(record), indent=1, sort_keys=True, allow_nan=False) + "\n"

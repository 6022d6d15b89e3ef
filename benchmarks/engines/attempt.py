"""One run, in the process that does it: what goes wrong stays with this run, and is recorded."""

from __future__ import annotations

import math
import shutil
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from benchmarks.engines.base import Job, Progress, Tell
from benchmarks.records.config import RunConfig
from benchmarks.records.environment import environment
from benchmarks.records.schema import Failure, FailureRecord
from benchmarks.training.divergence import Diverged
from benchmarks.training.memory import ADVICE, out_of_memory
from benchmarks.training.runner import Runner
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput

LAST_LOSSES = 5
Ending = Literal["diverged", "failed"]


def attempt(runner: Runner, job: Job, tell: Tell) -> str:
    """Do a run. One that diverges or fails leaves a record of that. Gives its status.

    Raises:
        InvalidInput: its model or its rows are refused, before anything is trained.
        OSError: not even that it failed can be written.
    """
    try:
        runner.run(job.study, job.run, lambda *done: tell(Progress(job.run.id, *done)))
    except Diverged as error:
        shutil.rmtree(runner.store.checkpoints(job.run.id), ignore_errors=True)  # no use to go on from
        return _record(runner, job.run, "diverged", error)
    except Exception as error:
        if isinstance(error, InvalidInput) and runner.progress is None:
            raise
        return _record(runner, job.run, "failed", error)
    return "finished"


def failure_of(
    run: RunConfig, status: Ending, message: str, execution: Execution, step: int = 0, losses: Sequence[float] = ()
) -> FailureRecord:
    """The record of a run that did not finish."""
    last = tuple(loss if math.isfinite(loss) else None for loss in losses[-LAST_LOSSES:])
    return FailureRecord(
        status=status,
        id=run.id,
        config=run,
        failure=Failure(step, last, message),
        execution=execution.recorded(),
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _record(runner: Runner, run: RunConfig, status: Ending, error: Exception) -> str:
    progress = runner.progress
    step, losses = (progress.step, progress.losses) if progress else (0, [])
    record = failure_of(run, status, _message(error), runner.execution, step, losses)
    runner.store.write_failure(record, "".join(traceback.format_exception(error)))
    return status


def _message(error: Exception) -> str:
    """What went wrong, in one line."""
    if out_of_memory(error):
        return ADVICE
    known = isinstance(error, Diverged | InvalidInput)  # whose text says it all
    return (str(error) if known else "\n".join(traceback.format_exception_only(error))).splitlines()[0]

"""Which engine does the runs of a command, and with how many workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmarks.engines.base import Engine, Job
from benchmarks.engines.grid_options import GridOptions
from benchmarks.engines.in_process import InProcess
from benchmarks.engines.local import Local
from benchmarks.records.store import RunStore
from benchmarks.training.trainer import Execution, together
from mtl_lora.errors import InvalidInput, unknown

if TYPE_CHECKING:
    from benchmarks.engines.ray import Ray


ENGINES = ("local", "ray", "slurm")


def choose(how: GridOptions, jobs: Sequence[Job], store: RunStore, execution: Execution) -> Engine:
    """The engine asked for; here, worker processes where they do the jobs sooner than this process alone.

    There are never more workers than runs left. Of "slurm" there is a script (see its module).

    Raises:
        InvalidInput: What was asked for can be done for none of the jobs, or not here.
    """
    for job in jobs:
        execution.rows_at_once(job.run.recipe.batch_size)
    if how.engine == "ray":
        return _ray()(store, execution, how.address, how.workers, how.per_gpu)
    if how.engine != "local":
        raise unknown("engine", how.engine, ENGINES)
    if execution.devices != together():
        raise InvalidInput(f"--devices goes with --engine ray; here: torchrun --nproc-per-node {execution.devices} ..")
    if execution.devices > 1 and (how.workers or 1) > 1:
        raise InvalidInput(
            f"under torchrun all {execution.devices} processes do each run together: --workers goes without torchrun"
        )
    cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    left = sum(how.again or store.find(job.run.id) is None for job in jobs)
    workers = min(how.workers or default_workers(cores, gpus, how.per_gpu), left)
    if workers <= 1 or execution.devices > 1:
        return InProcess(store, execution)
    threads = min(max(cores // workers, 1), torch.get_num_threads())  # the latter knows OMP_NUM_THREADS
    return Local(store, replace(execution, workers=workers), workers, threads, gpus)


def default_workers(cores: int, gpus: int, per_gpu: int) -> int:
    """How many runs at a time, unless the user says: on GPUs ``per_gpu`` each, else one for each core, on one thread.

    The models that a processor can train are small: their steps gain little from a second thread, and runs side by side
    share nothing (``python -m benchmarks.speed.grids`` measures it).
    """
    return gpus * per_gpu or cores


def _ray() -> type[Ray]:
    try:
        from benchmarks.engines.ray import Ray
    except ImportError as error:
        raise InvalidInput(f"--engine ray needs Ray: pip install 'mtl-lora[ray]' ({error})") from error
    return Ray

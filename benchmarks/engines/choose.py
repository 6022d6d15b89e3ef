"""Which engine does the runs of a command, and with how many workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmarks.engines.base import Engine, Job
from benchmarks.engines.in_process import InProcess
from benchmarks.engines.local import Local
from benchmarks.records.store import RunStore
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput, unknown

if TYPE_CHECKING:
    from benchmarks.engines.ray import Ray


ENGINES = ("local", "ray", "slurm")


def choose(
    name: str,
    jobs: Sequence[Job],
    store: RunStore,
    execution: Execution,
    workers: int | None = None,
    per_gpu: int = 1,
    address: str = "auto",
) -> Engine:
    """The engine of that name; here, worker processes where they do the jobs sooner than this process alone.

    Args:
        name: "local" or "ray"; of "slurm" there is a script (see its module).
        address: Of a Ray cluster.
        per_gpu: Runs at a time on each GPU.
        workers: So many, or None: as many as there are runs left and cores (or GPUs, times per_gpu) to do them.

    Raises:
        InvalidInput: What was asked for can be done for none of the jobs, or not here.
    """
    for job in jobs:
        execution.rows_at_once(job.run.recipe.batch_size)
    if name == "ray":
        return _ray()(store, execution, address, workers, per_gpu)
    if name != "local":
        raise unknown("engine", name, ENGINES)
    together = int(os.environ.get("WORLD_SIZE", 1))
    if together > 1 and (workers or 1) > 1:
        raise InvalidInput(f"under torchrun all {together} processes do each run together: --workers goes without torchrun")
    cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    left = sum(not store.record_path(job.run.id).exists() for job in jobs)
    workers = min(gpus * per_gpu or cores if workers is None else workers, left)
    if workers <= 1 or together > 1:
        return InProcess(store, execution)
    threads = min(max(cores // workers, 1), torch.get_num_threads())  # the latter knows OMP_NUM_THREADS
    return Local(store, replace(execution, workers=workers), workers, threads, gpus)


def _ray() -> type[Ray]:
    try:
        from benchmarks.engines.ray import Ray
    except ImportError as error:
        raise InvalidInput(f"--engine ray needs Ray: pip install 'mtl-lora[ray]' ({error})") from error
    return Ray

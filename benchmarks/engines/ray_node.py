"""What happens on the nodes of a Ray cluster: a run, by one process or by several that meet."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
import torch
from accelerate import PartialState
from torch.distributed.elastic.utils.distributed import get_free_port

from benchmarks.engines.attempt import attempt
from benchmarks.engines.base import Job, Progress, seldom
from benchmarks.experiment.study import Study
from benchmarks.plugins import load_plugin
from benchmarks.quiet import quiet
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore
from benchmarks.training.runner import Runner
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput

TELL_SECONDS = 1.0


class Board:
    """An actor on which runs leave how far they are, and the first process of a run where the others find it."""

    def __init__(self) -> None:
        self.progress: dict[str, Progress] = {}
        self.addresses: dict[str, tuple[str, int]] = {}

    def tell(self, progress: Progress) -> None:
        self.progress[progress.run_id] = progress

    def latest(self) -> list[Progress]:
        latest, self.progress = list(self.progress.values()), {}
        return latest

    def open(self, meeting: str, host: str, port: int) -> None:
        self.addresses[meeting] = host, port

    def address(self, meeting: str) -> tuple[str, int] | None:
        return self.addresses.get(meeting)


def do(
    run: RunConfig,
    study: Study,
    execution: Execution,
    board: ray.actor.ActorHandle,
    plugins: tuple[tuple[str, bytes], ...],
    meeting: str,
    place: int,
) -> dict[str, bytes]:
    """Do a run on this node, alone or as the process at a place among several that meet. Gives the content of its files by
    their names: of several processes the first one has them, or the one that failed."""
    torch.set_num_threads(1)
    quiet()
    _load(plugins)
    if execution.devices > 1:
        _meet(board, meeting, place, execution.devices)
    study = _as_known(study)
    rows = {data.task.name: data.fingerprint for data in study.data}
    if rows != run.data:
        other = next(name for name in run.data if rows.get(name) != run.data[name])
        raise InvalidInput(f"node {ray.util.get_node_ip_address()} has other rows of task {other}")

    def tell(progress: Progress) -> None:
        if place == 0:
            board.tell.remote(progress)

    with TemporaryDirectory(prefix="mtl-lora-") as folder:
        runner = _runner(execution)
        runner.store = RunStore(Path(folder))
        attempt(runner, Job(run, study), seldom(tell, TELL_SECONDS))
        return {path.name: path.read_bytes() for path in Path(folder).glob(f"runs/{run.id}.*")}


def _meet(board: ray.actor.ActorHandle, meeting: str, place: int, devices: int) -> None:
    """Join the processes that do a run together, with the surroundings that torchrun would give this one."""
    if place == 0:
        ray.get(board.open.remote(meeting, ray.util.get_node_ip_address(), get_free_port()))
    while (address := ray.get(board.address.remote(meeting))) is None:
        time.sleep(0.1)
    host, port = address
    os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port), "RANK": str(place), "WORLD_SIZE": str(devices)}
    os.environ |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}  # each sees a GPU of its own
    PartialState(cpu=not torch.cuda.is_available())


@cache
def _load(plugins: tuple[tuple[str, bytes], ...]) -> None:
    """Import the plugins of the process that leads, whose files this node need not have."""
    for name, content in plugins:
        folder = Path(tempfile.mkdtemp(prefix="mtl-lora-"))
        (folder / name).write_bytes(content)
        load_plugin(folder / name)


@cache
def _runner(execution: Execution) -> Runner:
    """What this process of a node keeps from one run to the next; each has a store of its own."""
    return Runner(RunStore(Path()), execution)


_KNOWN: dict[str, Study] = {}


def _as_known(study: Study) -> Study:
    """The study as an earlier run on this process left it, with its rows."""
    return _KNOWN.setdefault(repr(study), study)

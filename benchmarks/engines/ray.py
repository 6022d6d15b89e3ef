"""Runs on the nodes of a Ray cluster that is there already. Nodes share no folder: the files of a run travel back."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from benchmarks.engines.attempt import attempt, failure_of
from benchmarks.engines.base import Ended, Engine, Job, Progress, Tell
from benchmarks.experiment.study import Study
from benchmarks.plugins import load_plugin, loaded_plugins
from benchmarks.quiet import quiet
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore, write_whole
from benchmarks.training.runner import Runner
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput

RETRIES = 3  # of a run whose process or node dies
TELL_SECONDS = 1.0


class Ray(Engine):
    """One task of Ray per run, with one core and, where the cluster has GPUs, the ``per_gpu``-th part of one.

    Such a part is a share of a GPU's time and says nothing of its memory: that so many runs fit is for the user to know.
    A run whose process or node dies is begun again elsewhere, from its start. This process alone writes the store.

    most: runs at a time; as many as the nodes have room for unless given.
    """

    def __init__(self, store: RunStore, execution: Execution, address: str, most: int | None, per_gpu: int) -> None:
        self.store, self.most = store, most
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            first = str(error).strip().splitlines()[0]
            raise InvalidInput(
                f"no Ray cluster at {address!r} that takes us: {first} (RAY_AUTH_TOKEN is its token)"
            ) from error
        self.need = {"CPU": 1.0, "GPU": 1 / per_gpu if ray.cluster_resources().get("GPU") else 0.0}
        self.execution = dataclasses.replace(execution, engine="ray", workers=self.slots)
        self.board = ray.remote(num_cpus=0)(_Board).remote()
        self.running: dict[ray.ObjectRef, Job] = {}
        self.studies: list[tuple[Study, ray.ObjectRef]] = []
        self.plugins = ray.put({path.name: path.read_bytes() for path in loaded_plugins()})

    @property
    def slots(self) -> int:
        """How many runs the nodes of this moment have room for."""
        there = ray.cluster_resources()
        room = int(min(there.get(name, 0) / amount for name, amount in self.need.items() if amount))
        return max(1, min(room, self.most or room))

    def submit(self, job: Job) -> None:
        task = ray.remote(_do).options(
            num_cpus=self.need["CPU"], num_gpus=self.need["GPU"], max_retries=RETRIES, retry_exceptions=False
        )
        arguments = (job.run, self._sent(job.study), self.execution, self.board, self.plugins)
        self.running[task.remote(*arguments)] = job

    def wait(self, seconds: float, tell: Tell) -> Ended:
        done, _ = ray.wait(list(self.running), timeout=min(seconds, TELL_SECONDS))
        for progress in ray.get(self.board.latest.remote()):
            if any(job.run.id == progress.run_id for job in self.running.values()):
                tell(progress)
        return dict(map(self._received, done))

    def _sent(self, study: Study) -> ray.ObjectRef:
        """The study without its rows: every node reads its own, where its source lies on that node."""
        found = next((reference for other, reference in self.studies if other is study), None)
        if found is None:
            found = ray.put(dataclasses.replace(study))
            self.studies.append((study, found))
        return found

    def _received(self, reference: ray.ObjectRef) -> tuple[str, InvalidInput | None]:
        run = self.running.pop(reference).run
        try:
            files = ray.get(reference)
        except RayError as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, InvalidInput):
                return run.id, error.cause
            self.store.write_failure(failure_of(run, "failed", _message(error), self.execution), str(error))
            return run.id, None
        record = self.store.record_path(run.id)
        record.parent.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == record.name):  # the record last: it says the others are there
            write_whole(record.parent / name, partial(Path.write_bytes, data=files[name]))
        return run.id, None

    def __exit__(self, *error: object) -> None:
        for reference in self.running:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _message(error: RayError) -> str:
    """Why a run left no record of its own: what went wrong around it, or that process or node ended, after all retries."""
    if isinstance(error, RayTaskError):
        return str(error.cause).strip().splitlines()[0]
    return f"its process or node ended {RETRIES + 1} times: {str(error).strip().splitlines()[0]}"


class _Board:
    """An actor on which runs leave how far they are."""

    def __init__(self) -> None:
        self.progress: dict[str, Progress] = {}

    def tell(self, progress: Progress) -> None:
        self.progress[progress.run_id] = progress

    def latest(self) -> list[Progress]:
        latest, self.progress = list(self.progress.values()), {}
        return latest


def _do(
    run: RunConfig, study: Study, execution: Execution, board: ray.actor.ActorHandle, plugins: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Do a run on this node. Gives the content of its files by their names."""
    torch.set_num_threads(1)
    quiet()
    _load(tuple(plugins.items()))
    runner, study = _runner(execution), _as_known(study)
    rows = {own.task.name: own.fingerprint for own in study.data}
    if rows != run.data:
        other = next(name for name in run.data if rows.get(name) != run.data[name])
        raise InvalidInput(f"node {ray.util.get_node_ip_address()} has other rows of task {other}")
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            board.tell.remote(progress)
            told = time.monotonic()

    attempt(runner, Job(run, study), tell)
    files = runner.store.record_path(run.id).parent.glob(f"{run.id}.*")
    content = {path.name: path.read_bytes() for path in files}
    runner.store.remove(run.id)
    return content


@cache
def _load(plugins: tuple[tuple[str, bytes], ...]) -> None:
    """Import the plugins of the process that leads, whose files this node need not have."""
    folder = Path(tempfile.mkdtemp(prefix="mtl-lora-"))
    for name, content in plugins:
        (folder / name).write_bytes(content)
        load_plugin(folder / name)


@cache
def _runner(execution: Execution) -> Runner:
    """What this process of a node keeps from one run to the next."""
    return Runner(RunStore(Path(tempfile.mkdtemp(prefix="mtl-lora-"))), execution)


_KNOWN: dict[str, Study] = {}


def _as_known(study: Study) -> Study:
    """The study as an earlier run on this process left it, with its rows."""
    return _KNOWN.setdefault(repr(study), study)

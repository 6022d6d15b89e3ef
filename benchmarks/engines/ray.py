"""Runs on the nodes of a Ray cluster that is there already. Nodes share no folder: the files of a run travel back."""

from __future__ import annotations

import dataclasses
import socket
from functools import partial
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from benchmarks.engines.attempt import failure_of
from benchmarks.engines.base import Ended, Engine, Job, Tell
from benchmarks.engines.ray_node import TELL_SECONDS, Board, do
from benchmarks.experiment.study import Study
from benchmarks.plugins import loaded_plugins
from benchmarks.records.store import RunStore, write_whole
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput

CONNECT_SECONDS = 10.0
ATTEMPTS = 4  # at a run whose process or node dies


def _refuse_silent(address: str) -> None:
    """InvalidInput where nothing listens at a host and port: Ray itself would try for minutes, then end the process."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise InvalidInput(f"no Ray cluster at {address!r}: {error}") from error


@dataclasses.dataclass(eq=False)
class _Started:
    """A run that was handed to the cluster: a task for each process that does it, in a placement group where several do."""

    job: Job
    attempt: int
    group: PlacementGroup | None
    tasks: list[ray.ObjectRef]


class Ray(Engine):
    """One task of Ray per run, with one core and, where the cluster has GPUs, the ``per_gpu``-th part of one; or as many
    such tasks as ``execution`` has devices, on one node where that has room for them.

    Such a part is a share of a GPU's time and says nothing of its memory: that so many runs fit is for the user to know.
    A run of which a process or node dies is begun again elsewhere, from its start. This process alone writes the store.

    most: runs at a time; as many as the nodes have room for unless given.
    """

    def __init__(self, store: RunStore, execution: Execution, address: str, most: int | None, per_gpu: int) -> None:
        self.store, self.most, self.devices = store, most, execution.devices
        if self.devices > 1 and per_gpu > 1:
            raise InvalidInput("the --devices of a run are whole GPUs: they go without --per-gpu")
        _refuse_silent(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            first = str(error).strip().splitlines()[0]
            raise InvalidInput(
                f"no Ray cluster at {address!r} that takes us: {first} (RAY_AUTH_TOKEN is its token)"
            ) from error
        self.need = {"CPU": 1.0} | ({"GPU": 1 / per_gpu} if ray.cluster_resources().get("GPU") else {})
        self.execution = dataclasses.replace(execution, engine="ray", workers=self.slots)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # as long as this process
        self.board = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
        self.running: list[_Started] = []
        self.studies: list[tuple[Study, ray.ObjectRef]] = []
        self.plugins = ray.put(tuple((path.name, path.read_bytes()) for path in loaded_plugins()))

    @property
    def slots(self) -> int:
        """How many runs the nodes of this moment have room for."""
        there = ray.cluster_resources()
        room = int(min(there.get(name, 0) / amount for name, amount in self.need.items())) // self.devices
        return max(1, min(room, self.most or room))

    def submit(self, job: Job) -> None:
        self._start(job, 1)

    def wait(self, seconds: float, tell: Tell) -> Ended:
        tasks = {task: started for started in self.running for task in started.tasks}
        done, _ = ray.wait(list(tasks), timeout=min(seconds, TELL_SECONDS))
        for progress in ray.get(self.board.latest.remote()):
            if any(started.job.run.id == progress.run_id for started in self.running):
                tell(progress)
        ended: Ended = {}
        for task in done:
            ended |= self._received(tasks[task], task)
        return ended

    def _start(self, job: Job, attempt: int) -> None:
        need = {"num_cpus": self.need["CPU"], "num_gpus": self.need.get("GPU", 0), "max_retries": 0}
        group, places = None, [ray.remote(do).options(**need)]
        if self.devices > 1:
            group = placement_group([self.need] * self.devices, strategy="PACK")
            places = [
                ray.remote(max_calls=1)(do).options(
                    **need, scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place)
                )
                for place in range(self.devices)
            ]
        arguments = (job.run, self._sent(job.study), self.execution, self.board, self.plugins, f"{job.run.id}, {attempt}")
        tasks = [task.remote(*arguments, place) for place, task in enumerate(places)]
        self.running.append(_Started(job, attempt, group, tasks))

    def _sent(self, study: Study) -> ray.ObjectRef:
        """The study without its rows: every node reads its own, where its source lies on that node."""
        sent = next((reference for other, reference in self.studies if other is study), None)
        if sent is None:
            sent = ray.put(dataclasses.replace(study))
            self.studies.append((study, sent))
        return sent

    def _received(self, started: _Started, task: ray.ObjectRef) -> Ended:
        """What a task has given. The first one that has files ends its run; of several, the others have none."""
        run = started.job.run
        try:
            files = ray.get(task)
        except RayError as error:
            self._stop(started)
            if isinstance(error, RayTaskError):
                if isinstance(error.cause, InvalidInput):
                    return {run.id: error.cause}
                message = str(error.cause).strip().splitlines()[0]
            elif started.attempt < ATTEMPTS:
                self._start(started.job, started.attempt + 1)
                return {}
            else:
                message = f"its process or node ended {ATTEMPTS} times: {str(error).strip().splitlines()[0]}"
            self.store.write_failure(failure_of(run, "failed", message, self.execution), str(error))
            return {run.id: None}
        started.tasks.remove(task)
        if not files:
            return {}
        self._stop(started)
        record = self.store.record_path(run.id)
        record.parent.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == record.name):  # the record last: it says the others are there
            write_whole(record.parent / name, partial(Path.write_bytes, data=files[name]))
        return {run.id: None}

    def _stop(self, started: _Started) -> None:
        """End what still runs of a run, and free its places."""
        self.running.remove(started)
        for task in started.tasks:
            ray.cancel(task, force=True)
        if started.group is not None:
            remove_placement_group(started.group)

    def __exit__(self, *error: object) -> None:
        for started in list(self.running):
            self._stop(started)
        ray.shutdown()

"""Worker processes on this machine, each with its share of the cores or a GPU."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmarks.engines.attempt import attempt, failure_of
from benchmarks.engines.base import Ended, Engine, Job, Progress, Tell, seldom
from benchmarks.engines.forks import SURROUNDINGS, fork_server, start_fork, surrounded_by
from benchmarks.experiment.study import Study
from benchmarks.plugins import load_plugins, loaded_plugins
from benchmarks.quiet import quiet
from benchmarks.records.store import RunStore
from benchmarks.training.runner import Runner
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput

ATTEMPTS = 3  # at a run whose process is killed
TELL_SECONDS = 0.2


@dataclass(eq=False)
class _Worker:
    """A process that does runs. studies: those it has; they are sent once."""

    process: BaseProcess
    connection: Connection
    studies: list[Study] = field(default_factory=list)
    job: Job | None = None

    def send(self, job: Job) -> None:
        """Let it do a run."""
        self.job = job
        place = next((i for i, study in enumerate(self.studies) if study is job.study), None)
        if place is None:
            self.studies.append(job.study)
        self.connection.send((job.run, place, job.study if place is None else None))


class Local(Engine):
    """``workers`` processes. A run whose process was killed is begun again by another, ATTEMPTS times in all.

    threads: of each worker. gpus: how many of them the workers share; with none, they use processor cores alone.
    """

    def __init__(self, store: RunStore, execution: Execution, workers: int, threads: int, gpus: int = 0) -> None:
        self.most = workers
        self.store, self.execution, self.threads, self.gpus = store, execution, threads, gpus
        self.workers: list[_Worker] = []
        self.killed: Counter[str] = Counter()

    @property
    def slots(self) -> int:
        return self.most

    def submit(self, job: Job) -> None:
        self.workers = [worker for worker in self.workers if worker.job or worker.process.is_alive()]
        idle = next((worker for worker in self.workers if worker.job is None), None)
        (idle or self._start()).send(job)

    def wait(self, seconds: float, tell: Tell) -> Ended:
        deadline = time.monotonic() + seconds
        ended: Ended = {}
        while not ended and (left := deadline - time.monotonic()) > 0:
            busy = {worker.connection: worker for worker in self.workers if worker.job}
            told = wait(list(busy), left)
            for connection, worker in busy.items():
                ended |= self._read(worker, tell) if connection in told else {}
        return ended

    def _read(self, worker: _Worker, tell: Tell) -> Ended:
        """What a worker has sent: its run where that ended."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._replace(worker)
        if isinstance(message, Progress):
            tell(message)
            return {}
        if isinstance(message, OSError):
            raise message
        worker.job = None
        return message

    def _replace(self, worker: _Worker) -> Ended:
        worker.process.join()
        self.workers.remove(worker)
        job = worker.job
        assert job is not None
        run = job.run
        self.killed[run.id] += 1
        if self.killed[run.id] < ATTEMPTS:
            self.submit(job)
            return {}
        message = (
            f"its process ended {ATTEMPTS} times with status {worker.process.exitcode} (-9: killed, perhaps for memory)"
        )
        self.store.write_failure(failure_of(run, "failed", message, self.execution), message)
        return {run.id: None}

    def _start(self) -> _Worker:
        used = {worker.process.name for worker in self.workers}
        name = next(str(number) for number in range(self.slots) if str(number) not in used)
        context: BaseContext = get_context("spawn") if self.gpus else fork_server()  # CUDA does not survive a fork
        ours, theirs = context.Pipe()
        arguments = (theirs, self.store, self.execution, self.threads, loaded_plugins())
        process = context.Process(target=_serve, args=arguments, name=name, daemon=True)  # type: ignore[attr-defined]
        if self.gpus:
            with surrounded_by(SURROUNDINGS | {"CUDA_VISIBLE_DEVICES": _device(int(name) % self.gpus)}):
                process.start()
        else:
            start_fork(process)
        theirs.close()
        self.workers.append(_Worker(process, ours))
        return self.workers[-1]

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
        self.workers.clear()


def _serve(connection: Connection, store: RunStore, execution: Execution, threads: int, plugins: Sequence[Path]) -> None:
    """Do what is asked for, in a process of its own, until it is killed or the one that started it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started this process ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    quiet()
    load_plugins(plugins)
    runner, studies, tell = Runner(store, execution), [], seldom(connection.send, TELL_SECONDS)
    while True:
        try:
            run, place, study = connection.recv()
        except EOFError:
            return
        if study is not None:
            studies.append(study)
        try:
            attempt(runner, Job(run, studies[-1 if place is None else place]), tell)
        except OSError as error:
            connection.send(error)
        except InvalidInput as error:
            connection.send({run.id: error})
        else:
            connection.send({run.id: None})


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _device(number: int) -> str:
    """A GPU of those that this process may see."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",")[number] if seen else str(number)

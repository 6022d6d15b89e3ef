"""Runs one after another in this process, or in all processes of a torchrun job together."""

from __future__ import annotations

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from benchmarks.engines.attempt import attempt
from benchmarks.engines.base import Ended, Engine, Job, Tell
from benchmarks.records.store import RunStore
from benchmarks.training.runner import Runner
from benchmarks.training.trainer import Execution
from mtl_lora.errors import InvalidInput


class InProcess(Engine):
    """One run at a time, here. ``wait`` returns when it has ended."""

    slots = 1

    def __init__(self, store: RunStore, execution: Execution) -> None:
        self.process = PartialState(cpu=not torch.cuda.is_available())
        self.leads = self.process.is_main_process
        self.execution, self.runner = execution, Runner(store, execution)
        self.job: Job | None = None

    def submit(self, job: Job) -> None:
        self.job = job

    def wait(self, seconds: float, tell: Tell) -> Ended:
        job, self.job = self.job, None
        assert job is not None
        together = self.process.num_processes
        try:
            status = attempt(self.runner, job, tell)
        except InvalidInput as error:
            if together > 1:  # who knows whether in all of them
                raise
            return {job.run.id: error}
        if status == "failed" and together > 1:
            raise InvalidInput(f"{job.run.title} failed in one of {together} processes, which ends them all")
        return {job.run.id: None}

    def agree(self, decision: str) -> str:
        return broadcast_object_list([decision])[0]

    def __exit__(self, *error: object) -> None:
        self.job = None

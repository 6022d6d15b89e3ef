"""A grid of runs: what is left to do is claimed, handed to an engine and watched; what failed is said at the end."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, closing

from benchmarks.engines.attempt import failure_of
from benchmarks.engines.base import Engine, Job, Progress, largest_first
from benchmarks.engines.view import View
from benchmarks.experiment.study import Study
from benchmarks.records.leases import Leases, read_lease
from benchmarks.records.schema import FailureRecord, Record, RunRecord
from benchmarks.records.store import RunStore
from benchmarks.records.sweep import sweep
from benchmarks.training.model import method_source
from benchmarks.words import plural
from mtl_lora.errors import InvalidInput

POLL_SECONDS = 5.0


def jobs_of(studies: Sequence[Study]) -> list[Job]:
    """Every run of the studies, in the order in which they are begun."""
    return largest_first([Job(run, study) for study in studies for run in study.runs()])


def shard_of(jobs: Sequence[Job], shard: str) -> list[Job]:
    """Every n-th job from the i-th on, for shard "i/n"."""
    match = re.fullmatch(r"(\d+)/(\d+)", shard, re.ASCII)
    place, shards = map(int, match.groups()) if match else (0, 0)
    if not 1 <= place <= shards:
        raise InvalidInput(f"--shard is one of 1/n to n/n, not {shard!r}")
    return list(jobs[place - 1 :: shards])


def run_grid(
    jobs: Sequence[Job],
    store: RunStore,
    engine: Engine,
    retry_failed: bool = False,
    wait: bool = True,
    again: bool = False,
) -> bool:
    """Do every run that has no record yet. Gives whether all of them have finished, here or elsewhere, now or earlier.

    Several grids may work on one folder: a run that another one holds is left to the end. A run that fails stops no other;
    but where the first one's model or rows are refused, before anything was trained, so would those of the others be.

    Args:
        retry_failed: Do runs again whose record says that they diverged or failed.
        wait: For runs that others hold, to do them here if those end without a record.
        again: Do all runs again, finished ones too; a record stays until its run has ended anew.

    Raises:
        InvalidInput: What was asked for is wrong, and nothing was trained.
        OSError: The folder of results cannot be written.
    """
    grid = _Grid(jobs, store, engine, retry_failed, again)
    with ExitStack() as stack:
        if engine.leads:
            sweep(store)
            stack.callback(sweep, store)
        for part in (closing(grid.leases), grid.view, engine):
            stack.enter_context(part)
        grid.run(wait)
    return grid.summary()


def made_by_other_source(record: Record) -> bool:
    """Whether a finished run is known to be of another text of its method's file than today's."""
    known = record.method_sha256 if isinstance(record, RunRecord) else None
    return known is not None and known != method_source(record.config.method.name)


class _Grid:
    def __init__(self, jobs: Sequence[Job], store: RunStore, engine: Engine, retry_failed: bool, again: bool) -> None:
        self.store, self.engine = store, engine
        self.leases = Leases(store.leases)
        self.view = View(jobs, store, engine.slots, engine.leads)
        self.running: dict[str, Job] = {}
        self.waiting = list(jobs)
        self.begun = False  # whether any of them got as far as training
        self.again: dict[str, Record] = {}  # what there is of runs that are to be done again
        others = []
        for record in map(self._record, jobs):
            if record is None:
                continue
            if again or (isinstance(record, FailureRecord) and retry_failed):
                self.again[record.id] = record
            else:
                self.view.counted(record)
                others += [record] if made_by_other_source(record) else []
        failed = len(self.view.failures)
        hint = f", {failed} failed (--retry-failed does them again)" if failed else ""
        self.view.say(
            f"{plural(len(jobs), 'run')}, {len(self.view.finished)} finished already{hint}; results in {store.folder}"
        )
        for record in others:
            title = f"{record.config.title} ({record.id})"
            self.view.say(f"{title} was made by other source of the same version of its method; --again does it anew")

    def run(self, wait: bool) -> None:
        announced = ""
        while self.waiting or self.running:
            while len(self.running) < self.engine.slots and (job := self._next()):
                self.running[job.run.id] = job
                self.view.started(job)
                self.engine.submit(job)
            if self.running:
                for run_id, refused in self.engine.wait(POLL_SECONDS, self._progress).items():
                    self._ended(self.running.pop(run_id), refused)
                continue
            held = self._held()
            if self.waiting and held != announced:
                self.view.say(held)
                announced = held
            if not wait:
                return
            time.sleep(POLL_SECONDS)
        if announced:
            self.view.say("the runs that others held have ended")

    def summary(self) -> bool:
        """Say what has failed."""
        for failure in self.view.failures.values():
            at = f"{failure.status} at step {failure.failure.step}"
            self.view.say(f"{failure.config.title} ({failure.id}): {at}: {failure.failure.message}")
        return not self.view.failures

    def _next(self) -> Job | None:
        """A run that is ours to do from now on. Those that have a record are left out."""
        for job in list(self.waiting):
            state = self.engine.agree(self._claim(job) if self.engine.leads else "")
            if state == "held":
                continue
            self.waiting.remove(job)
            if state == "ours":
                return job
            self.view.counted(self._written(job))
        return None

    def _claim(self, job: Job) -> str:
        """Whether a run is "ours", "held" by another process, or "done"."""
        run_id = job.run.id
        if self._done(job):
            return "done"
        if not self.leases.take(run_id):
            return "held"
        if not self._done(job):
            return "ours"
        self.leases.give_up(run_id)  # it was written just before the lease could be had
        return "done"

    def _done(self, job: Job) -> bool:
        return self._record(job) not in (None, self.again.get(job.run.id))

    def _record(self, job: Job) -> Record | None:
        return self.store.find(job.run.id) or self.store.find_failure(job.run.id)

    def _written(self, job: Job) -> Record:
        """The record of a run that has ended."""
        record = self._record(job)
        assert record is not None
        return record

    def _progress(self, progress: Progress) -> None:
        self.begun = True
        words = self.view.progress(progress)
        if self.engine.leads:
            self.leases.say(progress.run_id, words)

    def _ended(self, job: Job, refused: InvalidInput | None) -> None:
        if refused is not None:
            if not self.begun:
                raise refused
            failure = failure_of(job.run, "failed", str(refused), self.engine.execution)
            self.store.write_failure(failure, "".join(traceback.format_exception(refused)))
        self.begun = True
        self.view.ended(job.run.id, self._written(job))
        if self.engine.leads:
            self.leases.give_up(job.run.id)

    def _held(self) -> str:
        """Who holds what is left."""
        holders = {str(holder) for job in self.waiting if (holder := read_lease(self.store.lease_path(job.run.id)))}
        return f"waiting for {plural(len(self.waiting), 'run')} done by {', '.join(sorted(holders))}"

"""Runs of a study that score what a function says, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tiny_study import RESULTS

from benchmarks.engines.base import Job
from benchmarks.records.config import RunConfig
from benchmarks.records.schema import Failure, FailureRecord, Record, to_json
from benchmarks.records.store import RunStore, read_record


class Simulated:
    """Does runs as ``run_tuned`` wants them done: writes records of what they score, None for one that diverges.

    made: every run, as often as it was done.
    """

    def __init__(self, store: RunStore, score: Callable[[RunConfig], float | None]) -> None:
        self.store, self.score, self.made = store, score, list[RunConfig]()
        self.example = read_record(next((RESULTS / "quick" / "runs").glob("*.json")))
        (store.folder / "runs").mkdir(parents=True)

    def __call__(self, jobs: Sequence[Job]) -> bool:
        for job in jobs:
            self.made.append(job.run)
            self.store.record_path(job.run.id).write_text(to_json(self._record(job.run)))
        return True

    def _record(self, run: RunConfig) -> Record:
        score = self.score(run)
        if score is not None:
            return replace(self.example, id=run.id, config=run, score=score)
        return FailureRecord(
            status="diverged",
            id=run.id,
            config=run,
            failure=Failure(1, (None,), "the loss became nan"),
            execution=self.example.execution,
            environment=self.example.environment,
            created=self.example.created,
        )

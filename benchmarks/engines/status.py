"""How far a grid is, seen from outside: from records and leases alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.records.config import RunConfig
from benchmarks.records.leases import read_lease
from benchmarks.records.store import RunStore
from benchmarks.words import plural, to_go


@dataclass(frozen=True)
class RunStatus:
    """A run of a grid.

    status: "finished", "diverged", "failed", "running" or "left". detail: its score, its failure, or what its holder said
    last. holder: host and process that do it.
    """

    id: str
    title: str
    status: str
    detail: str = ""
    holder: str | None = None


@dataclass(frozen=True)
class GridStatus:
    """The runs of a grid, and in how many seconds the rest may be done, None where nothing tells."""

    runs: list[RunStatus]
    seconds_left: float | None

    def count(self, status: str) -> int:
        """How many runs have this status."""
        return sum(run.status == status for run in self.runs)

    def lines(self) -> list[str]:
        """For people."""
        counts = [f"{n} {name}" for name in ("finished", "running", "diverged", "failed", "left") if (n := self.count(name))]
        shown = [run for run in self.runs if run.status in ("running", "diverged", "failed")]
        rows = [f"  {run.status:<9} {run.title} ({run.id}): {run.detail}" for run in shown]
        return [f"{plural(len(self.runs), 'run')}: {', '.join(counts)}{to_go(self.seconds_left)}", *rows]


def grid_status(configs: Sequence[RunConfig], store: RunStore) -> GridStatus:
    """The status of these runs in a folder of results."""
    runs, seconds = [], []
    for config in configs:
        if record := store.find(config.id):
            seconds.append(record.training.seconds + record.training.evaluation_seconds)
            runs.append(RunStatus(config.id, config.title, "finished", f"score {100 * record.score:.2f}"))
        elif (held := read_lease(store.lease_path(config.id))) and not held.gone:
            runs.append(RunStatus(config.id, config.title, "running", held.doing or "starts", str(held)))
        elif failure := store.find_failure(config.id):
            runs.append(RunStatus(config.id, config.title, failure.status, failure.failure.message))
        else:
            runs.append(RunStatus(config.id, config.title, "left"))
    unfinished = sum(run.status in ("running", "left") for run in runs)
    at_a_time = sum(run.status == "running" for run in runs)
    if not unfinished:
        return GridStatus(runs, 0.0)
    return GridStatus(runs, sum(seconds) / len(seconds) * unfinished / at_a_time if seconds and at_a_time else None)

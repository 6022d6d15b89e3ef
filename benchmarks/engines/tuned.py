"""The two stages of protocol ``tuned``: trials choose each arm's learning rate, then its report runs have that rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.engines.base import Job, largest_first
from benchmarks.experiment.study import Study
from benchmarks.experiment.trials import Trials
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore


def known_runs(studies: Sequence[Study], store: RunStore) -> list[RunConfig]:
    """The trials of the grids as they are now, and the report runs of every arm whose rate is chosen."""
    runs: list[RunConfig] = []
    for study in studies:
        trials = Trials.of(study, store)
        runs += [*trials.in_order(), *study.chosen(trials.choices(store)[0])]
    return runs


def run_tuned(studies: Sequence[Study], store: RunStore, do: Callable[[Sequence[Job]], bool]) -> bool:
    """All trials of a study, then its report runs, then the next study: what is cut short has whole studies.

    The same command goes on from what is finished, and chooses as before.

    Args:
        do: Does runs that have no record yet, or all, and gives whether all have finished. It gets every run once.

    Returns:
        Whether every arm has a learning rate and all report runs have finished.
    """
    finished = True
    for study in studies:
        trials, done = Trials.of(study, store), set[str]()
        while left := [run for run in trials.in_order() if run.id not in done]:  # the grid grows by what trials find
            do(largest_first([Job(run, study.on_dev) for run in left]))
            done |= {run.id for run in left}
            trials = Trials.of(study, store)
        choices, without = trials.choices(store)
        for line in without:
            print(line)
        finished &= do(largest_first([Job(run, study) for run in study.chosen(choices)])) and not without
    return finished

"""The trials of a study under protocol ``tuned``, what has become of them, and the choices they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from benchmarks.experiment.arms import Arm
from benchmarks.experiment.choosing import better, choose, edge, trial_of
from benchmarks.experiment.study import Study
from benchmarks.experiment.tuning import Tuning
from benchmarks.records.config import Choice, RunConfig, Trial
from benchmarks.records.schema import Record
from benchmarks.records.store import RunStore
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Trials:
    """The grid of a study as far as it has grown, and the trials on it as far as they are known: of each arm as many."""

    tuning: Tuning
    runs: dict[Arm, list[RunConfig]]

    @classmethod
    def of(cls, study: Study, store: RunStore) -> Trials:
        """The grid grows for every arm where the best rate of one lies on its edge, once all trials on it have ended.

        By halving it does so after the first round; each further one is there when the one before it has ended.
        """
        tuning = study.tuning
        assert tuning is not None
        while True:
            seeds, _ = tuning.rounds[0]
            trials = cls(tuning, {arm: study.trials(arm, study.grid(arm, tuning.rates), seeds) for arm in study.fits})
            if not trials.ended(store):
                return trials
            by_arm = [outcomes(runs, store) for runs in trials.runs.values()]
            grown = tuning.grown({edge(tried) for tried in by_arm if tried})
            if grown == tuning:
                break
            tuning = grown
        for seeds, size in tuning.rounds[1:]:
            if trials.ended(store):
                trials = trials.halved(study, store, seeds, size)
        return trials

    def halved(self, study: Study, store: RunStore, seeds: Sequence[int], size: int) -> Trials:
        """With another round, of the better candidates of each arm; of none where a trial failed by no fault of its own."""
        found = {arm: outcomes(own, store) for arm, own in self.runs.items()}
        more = {arm: study.trials(arm, better(own, size), seeds) for arm, own in found.items()}
        return Trials(self.tuning, {arm: [*own, *more[arm]] for arm, own in self.runs.items()})

    def ended(self, store: RunStore) -> bool:
        """Whether all have, well or not."""
        return all(_ended(run, store) is not None for runs in self.runs.values() for run in runs)

    def in_order(self) -> list[RunConfig]:
        """All trials, seed by seed and rate by rate."""
        return [run for alike in zip_longest(*self.runs.values()) for run in alike if run is not None]

    def choices(self, store: RunStore) -> tuple[dict[Arm, Choice], list[str]]:
        """The choice of each arm, and a line for each arm that has none."""
        choices, without = {}, []
        for arm, runs in self.runs.items():
            try:
                choices[arm] = choose(outcomes(runs, store), self.tuning.budget)
            except InvalidInput as error:
                without.append(f"{arm[0]} has no report runs: {error}")
        return choices, without


def outcomes(trials: Sequence[RunConfig], store: RunStore) -> list[Trial]:
    """What the trials of an arm have found; nothing where some have not ended, or failed by no fault of their rate."""
    records = [_ended(run, store) for run in trials]
    whole = all(record is not None and record.status != "failed" for record in records)
    return [trial_of(record) for record in records if record is not None] if whole else []


def _ended(run: RunConfig, store: RunStore) -> Record | None:
    return store.find(run.id) or store.find_failure(run.id)

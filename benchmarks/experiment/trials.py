"""The trials of a study under protocol ``tuned``, what has become of them, and the choices they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.experiment.arms import Arm
from benchmarks.experiment.study import Study
from benchmarks.experiment.tuning import Tuning, choose, edge, trial_of
from benchmarks.records.config import Choice, RunConfig, Trial
from benchmarks.records.schema import Record
from benchmarks.records.store import RunStore
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Trials:
    """The grid of a study as far as it has grown, and the trials on it: of each arm as many, seed by seed."""

    tuning: Tuning
    runs: dict[Arm, list[RunConfig]]

    @classmethod
    def of(cls, study: Study, store: RunStore) -> Trials:
        """The grid grows for every arm where the best rate of one lies on its edge, once all trials on it have ended."""
        tuning = study.tuning
        assert tuning is not None
        while True:
            trials = cls(tuning, {arm: study.on_dev.trials(arm, tuning.rates) for arm in study.fits})
            if any(_ended(run, store) is None for run in trials.in_order()):
                return trials
            found = [outcomes(own, store) for own in trials.runs.values()]
            grown = tuning.grown({edge(own) for own in found if own})
            if grown == tuning:
                return trials
            tuning = grown

    def in_order(self) -> list[RunConfig]:
        """All trials, seed by seed and rate by rate."""
        return [run for alike in zip(*self.runs.values(), strict=True) for run in alike]

    def choices(self, store: RunStore) -> tuple[dict[Arm, Choice], list[str]]:
        """The choice of each arm, and a line for each arm that has none."""
        choices, without = {}, []
        for arm, own in self.runs.items():
            try:
                choices[arm] = choose(outcomes(own, store))
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

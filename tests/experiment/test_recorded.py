"""A record is enough to do its run again: the study made from it has that run, by the same id, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.engines.attempt import failure_of
from benchmarks.experiment.recorded import recorded_study
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import Choice, RunConfig, Trial
from benchmarks.records.store import RunStore
from benchmarks.training.trainer import Execution
from mtl_lora import InvalidInput

FEW = {"tasks": "sense-north,sense-south", "max_train": 24, "max_eval": 12, "batch_size": 16, "methods": "lora,dora,full"}
ASKED = {
    "budgets, a conflict and settings": {"budget": "44k,55k", "conflict": "0.5", "methods": "mtl-lora:up_projections=2"},
    "references": {"methods": "lora,mtl-lora,lora-larger,heads-only,lora-per-task"},
    "a rate of its own": {"methods": "lora:learning_rate=0.001:rank=4,dora", "learning_rate": 0.002},
    "a rank": {"rank": 4, "answer": "heads:texts=apart", "sampling": "temperature", "temperature": 2.0},
}


def record_of(run: RunConfig, folder: Path) -> Path:
    return RunStore(folder).write_failure(failure_of(run, "failed", "out of luck", Execution()), "the traceback")


def again(run: RunConfig, folder: Path) -> list[RunConfig]:
    path = record_of(run, folder)
    return recorded_study(path, StudyOptions(record=path)).runs()


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_runs_of_a_study_come_back_from_their_records(asked: dict, tmp_path: Path) -> None:
    runs = [run for study in studies(StudyOptions("quick", **(FEW | asked))) for run in study.runs()]
    assert [again(run, tmp_path) for run in runs] == [[run] for run in runs]


def test_trials_and_the_runs_they_choose_come_back_from_their_records(tmp_path: Path) -> None:
    (study,) = studies(StudyOptions("quick", protocol="tuned", rates="1e-3,2e-3", **FEW))
    arm = next(arm for arm, fit in study.fits.items() if fit.method.trains_base)
    trials = study.trials(arm, study.grid(arm, study.tuning.rates), study.tuning.seeds)
    tried = tuple(Trial(run.id, run.recipe.learning_rate, run.seed, 0.5) for run in trials)
    report = study.chosen({arm: Choice(1e-4, "the rule", tried, on_edge=True)})
    for run in (trials[0], report[0]):
        assert again(run, tmp_path) == [run]


def test_runs_with_a_knob_come_back_from_their_records(tmp_path: Path) -> None:
    knobs = {"methods": "mtl-lora,full", "knob": ["mtl-lora:up_projections=2,4", "full:warmup=0,0.1"]}
    (study,) = studies(StudyOptions("quick", protocol="tuned", rates="1e-3,2e-3", **(FEW | knobs)))
    for arm in study.fits:
        for run in study.trials(arm, study.grid(arm, [1e-3]), [100]):
            assert again(run, tmp_path) == [run]


def test_other_rows_than_the_records_are_refused_by_name(tmp_path: Path) -> None:
    (study,) = studies(StudyOptions("quick", **FEW))
    run = study.runs()[0]
    path = record_of(replace(run, data=run.data | {"sense-south": "others"}), tmp_path)
    with pytest.raises(InvalidInput, match=r"would be another here: data.sense-south differ"):
        recorded_study(path, StudyOptions(record=path))


def test_a_record_says_all_that_a_run_is_of() -> None:
    with pytest.raises(InvalidInput, match="--from has all that a run is of from its record: it goes without seeds"):
        studies(StudyOptions(record=Path("x.json"), seeds="1"))
    with pytest.raises(InvalidInput, match="give the name of a suite"):
        studies(StudyOptions())

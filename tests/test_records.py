"""Records: what is written is what is read, and of a run that failed there is one too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RESULTS

from benchmarks.records.schema import Failure, FailureRecord, RunRecord, to_json
from benchmarks.records.store import RunStore, read_record
from mtl_lora import InvalidInput

RECORDS = sorted(RESULTS.glob("**/runs/*.json"))


@pytest.fixture
def record() -> RunRecord:
    return read_record(RECORDS[0])


def failure(record: RunRecord) -> FailureRecord:
    why = Failure(step=30, losses=(2.5, None), message="the loss became nan")
    return FailureRecord(
        id=record.id,
        status="diverged",
        config=record.config,
        failure=why,
        execution=record.execution,
        environment=record.environment,
        created=record.created,
    )


def test_what_is_written_is_what_is_read(record: RunRecord, tmp_path: Path) -> None:
    for own in (record, failure(record), replace(record, config=replace(record.config, conflict=0.25))):
        (tmp_path / "x.json").write_text(to_json(own))
        assert read_record(tmp_path / "x.json") == own


def test_losses_have_the_steps_they_belong_to(record: RunRecord) -> None:
    training = record.training
    assert len(training.loss) == len(training.loss_steps) == 10
    assert training.loss_steps[0] == training.steps // 10 and training.loss_steps[-1] <= training.steps


def test_a_failure_is_kept_apart_from_what_finished(record: RunRecord, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    path = store.write_failure(failure(record), "Traceback: it went wrong\n")
    assert store.find(record.id) is None and store.finished() == []
    assert store.find_failure(record.id) == failure(record) and store.failed() == [failure(record)]
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{record.id}.json", f"{record.id}.traceback.txt"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"score": 0', '"score": NaN, "was": 0', "finite number"),
        ('"status": "finished"', '"status": "cancelled"', "status"),
        ('"schema": 2', '"schema": 7', "its schema is 7"),
        ('"precision"', '"precison"', "config.precision: Field required"),
        ('"epochs": 1', '"epochs": 0', "epochs must be a finite number above 0"),
    ],
)
def test_a_record_that_is_no_record_is_refused_in_one_line(
    old: str, new: str, why: str, record: RunRecord, tmp_path: Path
) -> None:
    text = to_json(record)
    assert old in text
    path = tmp_path / "x.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidInput, match="is not a whole run record") as caught:
        read_record(path)
    assert why in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)

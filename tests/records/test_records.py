"""Records: what is written is what is read, and of a run that failed there is one too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from tiny_study import RESULTS

from benchmarks.records.schema import RECORDS, Failure, FailureRecord, RunRecord, to_json
from benchmarks.records.store import RunStore, read_record
from mtl_lora import InvalidInput

COMMITTED = sorted(RESULTS.glob("**/runs/*.json"))
DOCS = RESULTS.parent / "docs"


@pytest.fixture
def record() -> RunRecord:
    return read_record(COMMITTED[0])


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


def test_the_published_schema_is_that_of_the_types() -> None:
    assert json.loads((DOCS / "record.schema.json").read_text()) == RECORDS.json_schema()


def fields_of(kind: type, seen: set[type]) -> Iterator[str]:
    """The names of all fields of a dataclass, and of those within it."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        yield field.name
        parts = [hints[field.name], *get_args(hints[field.name])]
        for own in [inner for part in parts for inner in (part, *get_args(part))]:
            if dataclasses.is_dataclass(own) and own not in seen:
                seen.add(own)
                yield from fields_of(own, seen)


def test_a_page_explains_every_field() -> None:
    page = (DOCS / "records.md").read_text()
    names = {*fields_of(RunRecord, set()), *fields_of(FailureRecord, set())}
    assert len(names) > 60 and [name for name in sorted(names) if f"`{name}`" not in page] == []

"""Records of an earlier schema come to today's without a number that changes, however often that is interrupted."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tiny_cli import mtl_lora
from tiny_study import RESULTS

from benchmarks.engines.attempt import failure_of
from benchmarks.experiment import upgrade
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore, read_record
from benchmarks.training.trainer import Execution
from mtl_lora import InvalidInput
from reports.evidence.results import Results

OLD = Path(__file__).parent / "schema_1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path / "results")
    return tmp_path / "results"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records(folder: Path) -> list[RunRecord]:
    return RunStore(folder).finished() + RunStore(folder / "quick").finished()


def test_no_number_changes(folder: Path) -> None:
    assert mtl_lora("records", "upgrade", folder) == 0
    assert len(records(folder)) == 2
    for record in records(folder):
        (path,) = OLD.rglob(f"runs/{record.former_id}.json")
        old = json.loads(path.read_text())
        assert record.score == old["score"] and list(record.training.loss) == old["training"]["loss"]
        assert {name: score.score for name, score in record.scores.items()} == {
            n: s["score"] for n, s in old["scores"].items()
        }
        assert record.config.recipe.learning_rate == old["config"]["recipe"]["learning_rate"]
        assert record.config.data == old["config"]["data"] and record.id == record.config.id != old["id"]
        (predictions,) = folder.rglob(f"{record.id}.predictions.parquet")
        assert predictions.read_bytes() == path.with_suffix(".predictions.parquet").read_bytes()


def test_what_belongs_to_a_record_goes_with_it(folder: Path) -> None:
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("a record: runs/e2805ab94a7633fb.json; no record: 0123456789abcdef")
    assert mtl_lora("records", "upgrade", folder) == 0
    record = next(r for r in records(folder) if r.former_id == "e2805ab94a7633fb")
    assert json.loads((folder / "diagnoses" / f"{record.id}.json").read_text())["id"] == record.id
    assert f"runs/{record.id}.json; no record: 0123456789abcdef" in (folder / "report" / "index.html").read_text()
    assert not [name for name in contents(folder) if record.former_id in name]
    assert Results(folder).diagnosis(record.id).tasks == record.config.tasks


def test_once_more_changes_nothing(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora("records", "upgrade", folder) == 0
    before = contents(folder)
    assert mtl_lora("records", "upgrade", folder) == 0
    assert "2 records, 0 of them upgraded" in capsys.readouterr().out and contents(folder) == before


def test_a_run_that_failed_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora("records", "upgrade", folder) == 0
    store = RunStore(folder)
    run = dataclasses.replace(store.finished()[0].config, seed=99)
    store.write_failure(failure_of(run, "failed", "out of luck", Execution()), "the traceback")
    before = contents(folder)
    assert mtl_lora("records", "upgrade", folder) == 0
    assert "3 records, 0 of them upgraded" in capsys.readouterr().out and contents(folder) == before


@pytest.mark.parametrize("writes", range(3))
def test_cut_short_anywhere_the_same_command_goes_on(writes: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = folder.parent / "whole"
    shutil.copytree(folder, whole)
    upgrade.upgrade(whole)
    write, done = upgrade.write_whole, []

    def killed(*arguments: object) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(write(*arguments))

    monkeypatch.setattr(upgrade, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        upgrade.upgrade(folder)
    monkeypatch.undo()
    upgrade.upgrade(folder)
    assert contents(folder) == contents(whole)


def test_an_old_record_is_refused_with_the_command_that_upgrades_it(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is of schema 1: `mtl-lora records upgrade .*results` brings it to 2"):
        read_record(folder / "runs" / "e2805ab94a7633fb.json")


def test_what_cannot_be_upgraded_is_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture) -> None:
    path = folder / "runs" / "e2805ab94a7633fb.json"
    path.write_text(path.read_text().replace('"suite": "nlu"', '"suite": "mine"'))
    before = contents(folder / "runs")
    assert mtl_lora("records", "upgrade", folder) == 0
    shown = capsys.readouterr()
    assert "left as it is" in shown.err and "unknown suite 'mine'" in shown.err and "1 of them upgraded" in shown.out
    assert contents(folder / "runs") == before


def test_ranked_rows_of_committed_records_name_their_queries() -> None:
    store = RunStore(RESULTS / "ads")
    for record in store.finished():
        frame = pd.read_parquet(store.predictions_path(record.id))
        named = set(frame.loc[frame["query"].notna(), "task"])
        assert named == {"home_depot", "crowdflower"} and frame[frame["task"].isin(named)]["query"].notna().all()

"""What is said of grids and runs from outside, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tiny_cli import mtl_lora, run_arguments

from benchmarks.records import leases
from benchmarks.records.leases import Leases, read_lease
from benchmarks.records.store import RunStore

METHODS = ["--methods", "lora,heads-only,mtl-lora", "--tasks", "rte,stsb"]


@pytest.fixture
def store(tiny: Path, tmp_path: Path) -> RunStore:
    """The first of three shards finished."""
    assert mtl_lora(*run_arguments(tiny, tmp_path, *METHODS, "--shard", "1/3")) == 0
    return RunStore(tmp_path)


def status(tiny: Path, store: RunStore, capsys: pytest.CaptureFixture) -> dict:
    capsys.readouterr()
    assert mtl_lora("status", *run_arguments(tiny, store.folder, *METHODS)[1:], "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_shards_are_all_runs_once(tiny: Path, store: RunStore) -> None:
    assert len(store.finished()) == 1
    for shard in ("2/3", "3/3"):
        assert mtl_lora(*run_arguments(tiny, store.folder, *METHODS, "--shard", shard)) == 0
    assert {record.config.method.name for record in store.finished()} == {"lora", "heads-only", "mtl-lora"}


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "a/b"])
def test_a_shard_that_there_is_not(shard: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora(*run_arguments(tiny, tmp_path, *METHODS, "--shard", shard)) == 2
    assert f"--shard is one of 1/n to n/n, not {shard!r}" in capsys.readouterr().err


def test_status_tells_what_is_finished_running_diverged_and_left(
    tiny: Path, store: RunStore, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = status(tiny, store, capsys)["runs"]
    assert [run["status"] for run in runs] == ["finished", "left", "left"]
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    other = Leases(store.leases)
    assert other.take(runs[1]["id"])
    other.say(runs[1]["id"], "train 7/9")
    while read_lease(store.lease_path(runs[1]["id"])).doing != "train 7/9":
        time.sleep(0.01)
    heads = status(tiny, store, capsys)["runs"][1]
    assert (heads["status"], heads["detail"]) == ("running", "train 7/9")

    assert mtl_lora(*run_arguments(tiny, store.folder, *METHODS, "--no-wait")) == 0  # another job holds one
    assert "waiting for 1 run done by" in capsys.readouterr().out
    other.close()
    assert [run["status"] for run in status(tiny, store, capsys)["runs"]] == ["finished", "left", "finished"]
    assert mtl_lora("status", *run_arguments(tiny, store.folder, *METHODS)[1:]) == 0
    assert capsys.readouterr().out.startswith("3 runs: 2 finished, 1 left")


def test_runs_are_listed_shown_and_removed(tiny: Path, store: RunStore, capsys: pytest.CaptureFixture) -> None:
    (record,) = store.finished()
    folder = ["--results", store.folder]
    capsys.readouterr()
    assert mtl_lora("runs", "ls", *folder, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["score"], row["status"]) == (record.id, record.score, "finished")
    assert mtl_lora("runs", "ls", *folder) == 0
    assert f"{100 * record.score:.2f}" in capsys.readouterr().out
    cut = store.record_path("cut")
    cut.write_text(store.record_path(record.id).read_text()[:900])
    assert mtl_lora("runs", "ls", *folder, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == [row] and shown.err.startswith(f"left out: {cut} is not a whole run record")
    cut.unlink()
    assert mtl_lora("runs", "show", record.id, *folder, "--json") == 0
    assert capsys.readouterr().out == store.record_path(record.id).read_text()
    assert mtl_lora("runs", "show", record.id, *folder) == 0
    assert f"{100 * record.scores['rte'].score:.1f}" in capsys.readouterr().out
    assert mtl_lora("runs", "rm", record.id, "0123456789abcdef", *folder) == 2
    assert "has no record of a run '0123456789abcdef'" in capsys.readouterr().err
    assert mtl_lora("runs", "rm", record.id, *folder) == 0
    assert not list(store.record_path(record.id).parent.iterdir())


def test_a_run_is_done_again_from_its_record(
    tiny: Path, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (record,), other = store.finished(), RunStore(tmp_path / "other")
    asked = ["run", "--from", store.record_path(record.id), "--mirror", tiny, "--results"]
    assert mtl_lora(*asked, other.folder) == 0
    (found,) = other.finished()
    assert (found.config, found.scores, found.training.loss) == (record.config, record.scores, record.training.loss)
    assert mtl_lora(*asked, store.folder) == 0
    assert "1 run, 1 finished already" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora("--version") == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_a_tracker_that_is_not_installed_is_one_line(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora(*run_arguments(tiny, tmp_path, *METHODS, "--report-to", "telegraph")) == 2
    assert "--report-to telegraph: installed here are" in capsys.readouterr().err

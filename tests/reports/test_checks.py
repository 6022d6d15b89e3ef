"""A report reads no record that is not what it says: one line each on standard error, and the others are shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_study import RESULTS

from benchmarks.records.schema import to_json
from benchmarks.records.store import RunStore
from reports.evidence.results import Results

RUNS = [r for r in RunStore(RESULTS / "commonsense").finished() if r.config.method.name in ("lora", "mtl-lora")][:3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    store = RunStore(RESULTS / "commonsense")
    for record in RUNS:
        for path in (store.record_path(record.id), store.predictions_path(record.id)):
            shutil.copy(path, tmp_path / "runs")
    return tmp_path


def record(*keys: str, value: object) -> Callable[[Path], None]:
    """Set something in the JSON of a record."""

    def damage(path: Path) -> None:
        whole = json.loads(path.read_text())
        part = whole
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        path.write_text(json.dumps(whole))

    return damage


def predictions(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        file = path.with_suffix(".predictions.parquet")
        change(pd.read_parquet(file)).to_parquet(file, index=False)

    return damage


def of_another_run(path: Path) -> None:
    other = next(own for own in path.parent.glob("*.predictions.parquet") if own.stem.partition(".")[0] != path.stem)
    shutil.copy(other, path.with_suffix(".predictions.parquet"))


def again_elsewhere(path: Path) -> None:
    shutil.copytree(path.parent, path.parents[1] / "zoo" / "runs")
    for own in (path.parents[1] / "zoo" / "runs").iterdir():
        if not own.name.startswith(path.stem):
            own.unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda path: path.write_text(path.read_text()[:900]), "is not a whole run record"),
    "no number": (record("score", value=float("nan")), "is not a whole run record (score"),
    "another seed": (record("config", "seed", value=7), "its configuration is that of run"),
    "another rate": (record("config", "recipe", "learning_rate", value=0.5), "its configuration is that of run"),
    "another name": (lambda path: path.rename(path.with_name("0123456789abcdef.json")), "its file has another name"),
    "another score": (record("score", value=0.99), "its score is not the mean of its tasks' scores"),
    "another task score": (record("scores", "piqa", "score", value=0.99), "its score is not the mean"),
    "another run's predictions": (of_another_run, "its predictions of task"),
    "other labels": (predictions(lambda own: own.assign(label=1 - own["label"])), "its predictions of task"),
    "other rows": (predictions(lambda own: own.assign(row=own["row"] + 1)), "have other rows or labels than"),
    "fewer rows": (predictions(lambda own: own[5:]), "predictions of task"),
    "no label": (predictions(lambda own: own.drop(columns="label")), "its predictions have no column 'label'"),
    "damaged": (lambda path: path.with_suffix(".predictions.parquet").write_text("x"), "cannot be read"),
    "no predictions": (lambda path: path.with_suffix(".predictions.parquet").unlink(), "is missing"),
    "twice": (again_elsewhere, "is of the same run as"),
}


def test_whole_records_are_all_taken(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert len(Results(folder).records) == 3 and capsys.readouterr().err == ""


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_not_what_it_says_is_left_out_with_a_line(case: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    damage, message = DAMAGE[case]
    last = sorted((folder / "runs").glob("*.json"))[-1]
    damage(last)
    results = Results(folder)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("left out: ") and message in line and str(folder) in line
    assert len(results.records) == (3 if case == "twice" else 2)


def test_a_task_that_is_defined_otherwise_now(folder: Path, capsys: pytest.CaptureFixture) -> None:
    store = RunStore(folder)
    own = store.finished()[-1]
    config = replace(own.config, definitions=own.config.definitions | {"piqa": "0" * 16})
    store.record_path(own.id).unlink()
    store.record_path(config.id).write_text(to_json(replace(own, id=config.id, config=config)))
    assert len(Results(folder).records) == 2
    assert "task piqa was defined otherwise than it is now" in capsys.readouterr().err


def test_a_damaged_diagnosis_is_left_out_alone(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "diagnoses").mkdir()
    (folder / "diagnoses" / f"{RUNS[0].id}.json").write_text("{}")
    results = Results(folder)
    assert results.diagnosis(RUNS[0].id) is None and len(results.records) == 3
    assert "no whole diagnosis" in capsys.readouterr().err

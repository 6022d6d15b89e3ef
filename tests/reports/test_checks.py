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

from benchmarks.records.measurements import Diagnosis
from benchmarks.records.schema import to_json
from benchmarks.records.store import RunStore, read_record
from mtl_lora import InvalidInput
from reports.evidence.results import Results
from reports.report import write_report

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


def of_a_suite_that_is_unknown(path: Path) -> None:
    whole = read_record(path)
    config = replace(whole.config, suite="theirs")
    path.with_name(f"{config.id}.json").write_text(to_json(replace(whole, id=config.id, config=config)))
    path.unlink()


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
    "another task score": (record("scores", "piqa", "score", value=0.99), "its score of task piqa is not the mean of"),
    "another metric": (record("scores", "piqa", "metrics", "accuracy", value=0.99), "of task piqa is not the mean of its"),
    "of an unknown suite": (of_a_suite_that_is_unknown, "a suite that is unknown here"),
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


DIAGNOSED = next(d for d in map(json.loads, map(Path.read_text, RESULTS.glob("diagnoses/*.json"))) if "mixing" in d)


def without(whole: dict, *keys: str | int) -> str:
    """The JSON of something less one of its parts."""
    part = whole = json.loads(json.dumps(whole))
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    return json.dumps(whole)


DAMAGED_DIAGNOSES = {
    "empty": "",
    "no object": "[1]",
    "cut": json.dumps(DIAGNOSED)[:900],
    "another schema": json.dumps(DIAGNOSED | {"schema": 2}),
    "no times": without(DIAGNOSED, "inference"),
    "no number": json.dumps(DIAGNOSED).replace('"unmerged_ratio": 1', '"unmerged_ratio": NaN, "was": 1'),
    "a task fewer": without(DIAGNOSED, "gradient_cosine", 0),
    "a cosine fewer": without(DIAGNOSED, "update_overlap", 0, 0),
    "a layer fewer": without(DIAGNOSED, "mixing", 0, 0),
    "no movement": without(DIAGNOSED, "mixing_moved"),
    "no points": without(DIAGNOSED, "separation", "after", "points", DIAGNOSED["tasks"][0]),
    "of another run": json.dumps(DIAGNOSED | {"id": "0123456789abcdef"}),
}


def test_a_whole_diagnosis_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert diagnosis_of(json.dumps(DIAGNOSED), tmp_path).mixing == DIAGNOSED["mixing"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("case", DAMAGED_DIAGNOSES)
def test_a_damaged_diagnosis_is_left_out_alone(case: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert diagnosis_of(DAMAGED_DIAGNOSES[case], tmp_path) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {tmp_path / 'diagnoses' / DIAGNOSED['id']}.json is ")


def diagnosis_of(text: str, folder: Path) -> Diagnosis | None:
    """What a report takes from a folder where the diagnosis of a committed run is this text."""
    (folder / "runs").mkdir()
    for path in RESULTS.glob(f"runs/{DIAGNOSED['id']}.*"):
        shutil.copy(path, folder / "runs")
    (folder / "diagnoses").mkdir()
    (folder / "diagnoses" / f"{DIAGNOSED['id']}.json").write_text(text)
    results = Results(folder)
    found = results.diagnosis(DIAGNOSED["id"])
    assert results.diagnosis(DIAGNOSED["id"]) is found and len(results.records) == 1
    return found


SPEED = json.loads((RESULTS / "speed" / "speed-cpu.json").read_text())
DAMAGED_SPEED = {
    "empty": "",
    "no object": "[]",
    "cut": json.dumps(SPEED)[:900],
    "no rounds": without(SPEED, "rounds"),
    "no ratio": without(SPEED, "results", 0, "rows", 0, "step_ratio"),
    "no number": json.dumps(SPEED).replace('"forward_ratio": ', '"forward_ratio": NaN, "was": '),
    "no hardware": without(SPEED, "environment", "hardware"),
    "results in another form": json.dumps(SPEED | {"results": {"minilm": []}}),
}


@pytest.mark.parametrize("case", DAMAGED_SPEED)
def test_a_damaged_speed_record_is_left_out_alone(case: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "speed").mkdir()
    (folder / "speed" / "speed-cpu.json").write_text(json.dumps(SPEED))
    (folder / "speed" / "speed-gpu.json").write_text(DAMAGED_SPEED[case])
    assert [*Results(folder).speed()] == ["speed-cpu"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {folder / 'speed' / 'speed-gpu.json'} is no record of the speed benchmark (")


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "an app"}', json.dumps({"../mine": "0" * 64}), '{"a": 1}'])
def test_a_manifest_that_no_report_wrote_stays(text: str, folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    (out / "manifest.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"manifest\.json is not as `mtl-lora report` writes it: move it"):
        write_report(folder, out)
    assert [p.name for p in out.iterdir()] == ["manifest.json"]
    assert (out / "manifest.json").read_text() == text

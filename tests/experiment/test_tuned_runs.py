"""Protocol tuned from the command line: trials, choices and report runs on the generated world, cut to a few rows."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import statistics
from pathlib import Path

import pytest
from tiny_cli import mtl_lora

from benchmarks.experiment.choosing import choose, verify
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from mtl_lora import InvalidInput

pytestmark = pytest.mark.slow  # runs from the command line to the report

METHODS = "lora,full"
SMALL = ["quick", "--tasks", "sense-north,sense-south", "--epochs", "1", "--batch-size", "8", "--max-train", "16"]
SIZE = ["--max-eval", "12", "--budget", "28672", "--methods", METHODS, "--protocol", "tuned"]
GRID = ["--rates", "2e-3,1e-3,4e-3", "--tuning-seeds", "100,101", "--seeds", "0,1"]
LINE = [*SMALL, *SIZE, *GRID]


def tuned(store: RunStore, *more: str) -> int:
    return mtl_lora("run", *LINE, *more, "--workers", "1", "--results", store.folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("tuned"))
    assert tuned(store) == 0
    return store


def of_stage(store: RunStore, stage: str | None) -> list[RunRecord]:
    return [record for record in store.finished() if record.config.stage == stage]


def test_every_arm_has_as_many_trials_on_dev_with_tuning_seeds_alone(store: RunStore) -> None:
    trials = of_stage(store, "trial")
    by_arm = {label: [r for r in trials if r.config.method.label == label] for label in METHODS.split(",")}
    counts = {len(own) for own in by_arm.values()}
    assert len(counts) == 1 and counts.pop() >= 6
    assert {r.config.split for r in trials} == {"dev"}
    assert {r.config.seed for r in trials} == {100, 101}
    rates = {label: sorted({r.config.recipe.learning_rate for r in own}) for label, own in by_arm.items()}
    assert rates["full"] == pytest.approx([rate / 10 for rate in rates["lora"]])


def test_report_runs_have_the_chosen_rate_fresh_seeds_and_the_test_split(store: RunStore) -> None:
    report = of_stage(store, None)
    assert len(report) == 2 * len(METHODS.split(","))
    assert {(r.config.split, r.config.seed) for r in report} == {("test", 0), ("test", 1)}
    for record in report:
        choice = record.config.method.choice
        assert record.config.recipe.learning_rate == choice.learning_rate
        assert choice == choose(choice.trials)
        for trial in choice.trials:
            found = store.find(trial.id)
            assert (found.score, found.config.seed) == (trial.score, trial.seed)
            assert found.config.method.label == record.config.method.label
        verify(record, store.find)


def test_runs_really_are_trained_at_their_rate(store: RunStore) -> None:
    """Two trials that differ in the rate alone start at the same loss and part."""
    first, second = (
        next(
            r
            for r in of_stage(store, "trial")
            if (r.config.method.label, r.config.seed, r.config.recipe.learning_rate) == ("lora", 100, rate)
        )
        for rate in (1e-3, 4e-3)
    )
    assert first.training.loss[0] == pytest.approx(second.training.loss[0])
    assert first.training.loss[-1] != pytest.approx(second.training.loss[-1])


def test_the_same_command_again_runs_nothing_and_chooses_the_same(store: RunStore) -> None:
    before = {path: path.stat().st_mtime_ns for path in (store.folder / "runs").iterdir()}
    assert tuned(store) == 0
    assert {path: path.stat().st_mtime_ns for path in (store.folder / "runs").iterdir()} == before


def test_plan_says_how_many_trials_and_hours(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mtl_lora("plan", *LINE, "--results", tmp_path) == 0
    told = capsys.readouterr().out
    assert "trials of every arm at learning rates 0.001, 0.002, 0.004 (full fine-tuning: a tenth of each)" in told
    assert "0/6" in told and "0/2" in told and "16 of 16 runs to do, about" in told
    assert mtl_lora("plan", *LINE, "--results", store.folder) == 0
    assert "0 of " in capsys.readouterr().out


def test_another_grid_is_another_choice_with_other_ids(store: RunStore) -> None:
    ids = {r.id for r in of_stage(store, None)}
    record = of_stage(store, None)[0]
    method = record.config.method
    fewer = dataclasses.replace(method.choice, trials=method.choice.trials[:-1])
    assert dataclasses.replace(record.config, method=dataclasses.replace(method, choice=fewer)).id not in ids


def with_choice(record: RunRecord, **changes: object) -> RunRecord:
    choice = dataclasses.replace(record.config.method.choice, **changes)
    method = dataclasses.replace(record.config.method, choice=choice)
    return dataclasses.replace(record, config=dataclasses.replace(record.config, method=method))


def test_a_choice_is_checked_against_its_trials(store: RunStore) -> None:
    record = of_stage(store, None)[0]
    trials = record.config.method.choice.trials
    with pytest.raises(InvalidInput, match=f"by trial {trials[0].id}, whose record is missing"):
        verify(record, lambda run_id: None if run_id == trials[0].id else store.find(run_id))
    better = dataclasses.replace(trials[0], score=0.999)
    with pytest.raises(InvalidInput, match=f"by trial {trials[0].id}, whose record says otherwise"):
        verify(with_choice(record, trials=(better, *trials[1:])), store.find)
    other = next(rate for rate in {t.learning_rate for t in trials} if rate != record.config.method.choice.learning_rate)
    with pytest.raises(InvalidInput, match="has another learning rate than its trials choose"):
        verify(with_choice(record, learning_rate=other), store.find)


def test_trials_of_another_suite_or_method_are_none_of_a_choice(store: RunStore) -> None:
    record = of_stage(store, None)[0]
    other = next(r for r in of_stage(store, None) if r.config.method.name != record.config.method.name)
    for changed in (
        dataclasses.replace(record, config=dataclasses.replace(record.config, suite="nlu")),
        dataclasses.replace(record, config=dataclasses.replace(record.config, conflict=1.0)),
        with_choice(record, trials=other.config.method.choice.trials),
    ):
        with pytest.raises(InvalidInput, match="trials are of the same suite, data, method and recipe"):
            verify(changed, store.find)


WRONG = {
    "an empty grid": (["--rates", ""], "learning rates to try must be different finite numbers above 0"),
    "a rate of 0": (["--rates", "0,1e-3"], "learning rates to try must be different finite numbers above 0"),
    "a rate of nan": (["--rates", "nan"], "learning rates to try must be different finite numbers above 0"),
    "a rate below 0": (["--rates", "-1e-3"], "learning rates to try must be different finite numbers above 0"),
    "rates by another protocol": (["--protocol", "matched", "--rates", "1e-3"], "--rates goes with protocol tuned"),
    "seeds of both stages": (["--seeds", "100"], "seeds that a learning rate was chosen by are not reported"),
    "a rate of its own": (["--methods", "lora:learning_rate=1e-3"], "protocol tuned chooses the learning rate"),
    "a rate for all": (["--learning-rate", "1e-3"], "protocol tuned chooses the learning rate of each method"),
    "two ways to try less": (
        ["--reduced", "--trials-budget", "9"],
        "--reduced and --trials-budget are two ways to try less",
    ),
    "too small a budget": (["--trials-budget", "2"], "a budget of 2 trials does not try each of 3 learning rates once"),
    "a split": (["--split", "dev"], "it goes without --split"),
}


@pytest.mark.parametrize(("more", "told"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_line(more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mtl_lora("run", *LINE, *more, "--results", tmp_path) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.slow
def test_a_knob_and_halving_from_the_command_line_are_named_in_records_and_tables(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "results")
    asked = ["--methods", "lora", "--knob", "lora:alpha=8,32", "--trials-budget", "9", "--seeds", "0"]
    assert tuned(store, *asked) == 0
    [report], trials = of_stage(store, None), of_stage(store, "trial")
    assert len(trials) == report.config.method.choice.budget == 9
    assert {r.config.method.settings["alpha"] for r in trials} == {8.0, 32.0}
    assert report.config.method.settings["alpha"] == report.config.method.choice.value
    verify(report, store.find)
    assert mtl_lora("report", "--results", store.folder, "--out", tmp_path) == 0
    tables = [table.read_text() for table in tmp_path.glob("tables/*.md")]
    assert len(tables) >= 2 and all("tuned-halved" in text for text in tables)
    told = "each method's own learning rate and one more setting (halved: at most 9 trials each)"
    assert told in "".join(tables)
    again = ["run", "--from", store.record_path(report.id), "--results", tmp_path / "again", "--workers", "1"]
    assert mtl_lora(*again) == 0
    assert RunStore(tmp_path / "again").find(report.id).score == report.score


@pytest.mark.slow
def test_the_grid_grows_where_the_best_lies_on_its_edge_but_not_for_ever(tmp_path: Path) -> None:
    """Rates at which nothing is learned are all as good as the lowest one."""
    store = RunStore(tmp_path / "results")
    assert tuned(store, "--methods", "lora", "--rates", "1.1e-9,2e-9", "--tuning-seeds", "100", "--seeds", "0") == 0
    rates = sorted(r.config.recipe.learning_rate for r in of_stage(store, "trial"))
    assert rates == [1.1e-10, 2e-10, 3.6e-10, 6.3e-10, 1.1e-9, 2e-9]
    [report] = of_stage(store, None)
    assert report.config.method.choice.on_edge and report.config.recipe.learning_rate == 1.1e-10
    assert mtl_lora("report", "--results", store.folder, "--out", tmp_path) == 0
    [table] = tmp_path.glob("tables/*-tuning.csv")
    assert "1.1e-10 (edge)" in table.read_text()


def test_the_report_shows_choices_trials_and_curves_and_counts_no_trial(store: RunStore, tmp_path: Path) -> None:
    assert mtl_lora("report", "--results", store.folder, "--out", tmp_path) == 0
    [table] = tmp_path.glob("tables/*-tuning.csv")
    rows = list(csv.DictReader(table.open()))
    assert [row["method"] for row in rows] == ["lora", "full"]
    for row in rows:
        records = [r for r in of_stage(store, None) if r.config.method.label == row["method"]]
        choice = records[0].config.method.choice
        assert row["chosen"].split()[0] == f"{choice.learning_rate:g}"
        assert int(row["trials"]) == len(choice.trials)
        assert float(row["test score"]) == pytest.approx(100 * statistics.fmean(r.score for r in records), abs=0.06)
    for kind in ("rates", "tuned-default", "best-of"):
        assert len(list(tmp_path.glob(f"figures/*-{kind}.svg"))) == 1
    page = (tmp_path / "index.html").read_text()
    assert "protocol tuned" in page
    assert "One recipe for all: 1 epoch, batch 8, each method&#39;s own learning rate" in page
    scores = list(csv.DictReader((tmp_path / "tables" / "scores.csv").open()))
    assert {(row["split"], row["seeds"]) for row in scores} == {("test", "2")}


def test_a_report_without_the_records_of_trials_is_refused(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = RunStore(tmp_path / "copied")
    shutil.copytree(store.folder / "runs", copied.folder / "runs")
    gone = of_stage(copied, None)[0].config.method.choice.trials[0].id
    copied.record_path(gone).unlink()
    assert mtl_lora("report", "--results", copied.folder, "--out", tmp_path / "report") == 2
    assert f"has its learning rate by trial {gone}, whose record is missing" in capsys.readouterr().err

"""The suite ``quick``, cut down, from the command line to the report: four domains, no mirror, no network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny_cli import mtl_lora, predictions

from benchmarks.records.store import RunStore
from benchmarks.world.forms import CAPTIONS
from benchmarks.world.language import READERS
from reports.evidence.comparison import compare
from reports.evidence.families import by_conflict
from reports.evidence.results import Results
from reports.evidence.significance import paired_tests

pytestmark = pytest.mark.slow  # runs from the command line to the report

TASKS = [f"{form}-{reader}" for form in ("sense", "which", "caption", "relevance") for reader in ("north", "south")]
CUT = ["--max-train", "24", "--max-eval", "12", "--epochs", "1", "--tasks", ",".join(TASKS)]
METHODS = "lora,mtl-lora,references"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Two conflicts, two budgets, two seeds."""
    results = tmp_path_factory.mktemp("quick")
    more = ["--conflict", "0,1", "--budget", "45k,93k", "--seeds", "0,1", "--methods", METHODS]
    assert mtl_lora("run", "quick", *CUT, *more, "--results", results) == 0
    return RunStore(results)


def test_a_run_for_each_conflict_budget_and_seed_and_references_once(finished: RunStore) -> None:
    found = [r.config for r in finished.finished()]
    runs = {(c.conflict, c.method.name, c.budget, c.seed) for c in found}
    assert len(found) == len(runs) == 2 * 2 * (2 * 3 + 2)
    for conflict in (0.0, 1.0):
        for seed in (0, 1):
            own = {(name, budget) for c, name, budget, s in runs if (c, s) == (conflict, seed)}
            fitted = {(name, b) for name in ("lora", "mtl-lora", "lora-per-task") for b in (45_000, 93_000)}
            assert own == fitted | {("heads-only", 0), ("full", 0)}


def test_parameters_are_what_the_budget_says(finished: RunStore) -> None:
    for record in finished.finished():
        parameters, config = record.parameters, record.config
        name, budget = config.method.name, config.budget
        if name in ("heads-only", "full"):
            assert parameters.adapter == 0
            assert parameters.trained == parameters.heads + (parameters.base if name == "full" else 0)
        elif name == "lora-per-task":
            assert abs(parameters.adapter / len(TASKS) - budget) <= 0.1 * budget
        else:
            assert abs(parameters.adapter - budget) <= 0.1 * budget
        assert parameters.heads == 129 * (2 + 2 + len(CAPTIONS) + 1)  # a head per form, 128 wide with a bias


def test_the_report_shows_domains_conflict_and_references(
    finished: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mtl_lora("report", "--results", finished.folder, "--out", tmp_path) == 0
    text = "\n".join(path.read_text() for path in (tmp_path / "index.md", *(tmp_path / "tables").glob("*.md")))
    for wanted in (
        "| nlu ",
        "| commonsense ",
        "| image-text ",
        "| ads ",
        "heads-only",
        "conflict 1",
        "Score against conflict",
    ):
        assert wanted in text, wanted
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    of_first = {f"quick-24-rows-per-task-conflict-0-{kind}" for kind in ("parameters", "parameters-tasks", "matrix")}
    others = {"forest", "quick-conflict", "quick-24-rows-per-task-conflict-1-parameters"}
    assert drawn == of_first | others | {f"samples-quick-caption-{reader}" for reader in READERS}
    table = pd.read_csv(tmp_path / "tables" / "scores.csv")
    assert set(table["conflict"]) == {0.0, 1.0} and len(table) == 2 * (2 * 3 + 2) * 9


def test_the_advantage_over_lora_is_taken_seed_by_seed(finished: RunStore) -> None:
    (family,) = by_conflict(compare(finished.finished()))
    assert [comparison.conflict for comparison in family] == [0.0, 1.0]
    entries = {entry.label: entry for entry in family[1].at(93_000)}
    mtl = entries["mtl-lora"]
    scores = {
        (r.config.method.name, r.config.seed): 100 * r.score
        for r in finished.finished()
        if (r.config.conflict, r.config.budget) == (1.0, 93_000)
    }
    differences = pd.Series([scores["mtl-lora", seed] - scores["lora", seed] for seed in (0, 1)])
    found = paired_tests(family[1], Results(finished.folder))[93_000].difference("mtl-lora", "lora")
    assert found.value == pytest.approx(differences.mean())
    assert found.half >= 12.706 * differences.std() / 2**0.5 * 0.999
    assert mtl.groups["nlu"].mean == pytest.approx(sum(mtl.tasks[f"sense-{r}"].mean for r in READERS) / 2)


def test_the_same_command_gives_the_same_numbers(finished: RunStore, tmp_path: Path) -> None:
    more = ["--conflict", "1", "--budget", "45k", "--methods", "mtl-lora,full"]
    assert mtl_lora("run", "quick", *CUT, *more, "--results", tmp_path) == 0
    for record in RunStore(tmp_path).finished():
        before = finished.find(record.id)
        assert record.scores == before.scores
        pd.testing.assert_frame_equal(predictions(RunStore(tmp_path), record.id), predictions(finished, record.id))


def test_a_finished_run_answers_questions_on_text(finished: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = next(r.id for r in finished.finished() if r.config.method.name == "full")
    (tmp_path / "lines.txt").write_text("north : the whale is big\nnorth : the ant is big\n")
    options = ["--results", finished.folder, tmp_path / "lines.txt"]
    assert mtl_lora("predict", run, "--task", "sense-north", *options) == 0
    assert set(capsys.readouterr().out.split()) <= {"no", "yes"}
    assert mtl_lora("predict", run, "--task", "caption-north", *options) == 2
    assert "task caption-north has generated pictures, which lines of text cannot give" in capsys.readouterr().err
    assert mtl_lora("export", run, "--task", "sense-north", "--to", tmp_path / "peft", "--results", finished.folder) == 2
    assert "full trains no adapter, so there is none to export" in capsys.readouterr().err


def test_captions_are_short_and_all_different() -> None:
    assert len(set(CAPTIONS)) == len(CAPTIONS) == 32 and all(len(text.split()) == 2 for text in CAPTIONS)


BAD = {
    "real data": (["nlu", "--conflict", "0.5"], "the conflict of suite nlu cannot be set: its data are not generated"),
    "range": (["quick", "--conflict", "1.5"], "conflict must be from 0 to 1, not 1.5"),
    "text": (["quick", "--conflict", "much"], "conflicts must be different numbers from 0 to 1, like 0,0.5,1, not 'much'"),
    "twice": (["quick", "--conflict", "1,1"], "conflicts must be different numbers"),
    "budget": (["quick", "--budget", "34k,few"], "budget 'few' is neither a number of parameters"),
    "experts": (["quick", "--methods", "moelora"], "no rank of moelora meets a budget of"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(case: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    wrong, message = BAD[case]
    assert mtl_lora("run", *wrong, "--results", tmp_path) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert message in line
    assert not list(tmp_path.glob("runs/*"))

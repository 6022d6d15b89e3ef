"""The whole path from the command line to records, on a mirror made on the spot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from tiny_cli import FAST, mtl_lora, predictions, run_arguments
from tiny_mirror import CAUSAL, ENCODER, NO_DROPOUT, TEST_ROWS

from benchmarks.experiment.catalogue import methods
from benchmarks.metrics.base import Rows
from benchmarks.records.store import RunStore
from benchmarks.scoring.evaluate import task_score
from benchmarks.suites import find_suite
from benchmarks.training.checkpoints import MarkComplete
from reports.evidence.comparison import compare
from reports.evidence.entries import t_interval
from reports.evidence.results import Results
from reports.evidence.significance import paired_tests


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """All methods, two seeds, finished."""
    results = tmp_path_factory.mktemp("results")
    assert mtl_lora(*run_arguments(tiny, results, "--seeds", "0,1")) == 0
    return RunStore(results)


def test_every_method_and_seed_leaves_a_whole_record(finished: RunStore) -> None:
    records = finished.finished()
    runs = {(r.config.method.label, r.config.seed) for r in records}
    assert runs == {(m, s) for m in ("lora", "dora", "multilora", "moelora", "mtl-lora") for s in (0, 1)}
    for record in records:
        parameters, scores = record.parameters, record.scores
        assert abs(parameters.adapter - 16_500) <= 1_650
        assert parameters.heads == 16 * 33  # seven heads of two or three outputs and one grade, 32 wide with a bias
        sizes = [_product(shape) for shape in parameters.tensors.values()]
        assert sum(sizes) == parameters.trained == parameters.adapter + parameters.heads
        assert list(record.config.tasks) == [task.name for task in find_suite("nlu").tasks]
        assert record.score == pytest.approx(sum(s.score for s in scores.values()) / 8)
        assert record.environment.packages["torch"] and record.training.peak_memory_bytes > 0
    assert not list((finished.folder / "checkpoints").glob("*"))


def _product(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def test_scores_follow_from_the_stored_predictions(finished: RunStore) -> None:
    record = finished.finished()[0]
    table = predictions(finished, record.id)
    for task in find_suite("nlu").tasks:
        own = table[table["task"] == task.name]
        assert sorted(own["row"]) == list(range(TEST_ROWS))
        score = task_score(task, Rows(own["label"].to_numpy(), own["prediction"].to_numpy()))
        assert score == pytest.approx(record.scores[task.name].score)


@pytest.mark.slow
def test_what_can_be_learnt_is_learnt(tiny: Path, tmp_path: Path) -> None:
    more = ["--methods", "lora,mtl-lora", "--epochs", "10", "--tasks", "sst2,mrpc,stsb"]
    assert mtl_lora(*run_arguments(tiny, tmp_path, *more)) == 0
    for record in RunStore(tmp_path).finished():
        assert record.scores["sst2"].score > 0.9 > record.scores["sst2"].majority, record.config.method
        assert record.scores["stsb"].score > 0.7


def test_finished_runs_are_not_run_again(finished: RunStore, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.read_bytes() for path in (finished.folder / "runs").iterdir()}
    assert mtl_lora(*run_arguments(tiny, finished.folder, "--seeds", "0,1")) == 0
    assert "10 runs, 10 finished already" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in (finished.folder / "runs").iterdir()}


@pytest.mark.slow
def test_other_source_of_a_method_is_said_and_done_again_when_asked(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = run_arguments(tiny, tmp_path, "--methods", "lora", "--tasks", "rte", "--budget", "9000")
    store = RunStore(tmp_path)
    assert mtl_lora(*arguments) == 0
    (first,) = store.finished()
    assert mtl_lora(*arguments) == 0
    assert "other source" not in capsys.readouterr().out
    for module in ("benchmarks.engines.grid", "benchmarks.training.runner"):
        monkeypatch.setattr(f"{module}.method_source", lambda name: f"edited {name}")
    assert mtl_lora(*arguments) == 0
    assert f"({first.id}) was made by other source of the same version of its method" in capsys.readouterr().out
    assert store.finished() == [first]
    assert mtl_lora(*arguments, "--again", "--workers", "1") == 0
    (second,) = store.finished()
    assert (second.id, second.method_sha256, second.scores) == (first.id, "edited lora", first.scores)


def test_the_same_command_gives_the_same_numbers(finished: RunStore, tiny: Path, tmp_path: Path) -> None:
    assert mtl_lora(*run_arguments(tiny, tmp_path, "--methods", "mtl-lora,moelora")) == 0
    for record in RunStore(tmp_path).finished():
        before = finished.find(record.id)
        assert record.scores == before.scores and record.training.loss == before.training.loss
        pd.testing.assert_frame_equal(predictions(RunStore(tmp_path), record.id), predictions(finished, record.id))


@pytest.mark.slow
@pytest.mark.parametrize("execution", [["--accumulation", "4"], ["--gradient-checkpointing"]], ids=lambda e: e[0])
def test_how_a_run_is_executed_does_not_change_it(execution: list[str], tiny: Path, tmp_path: Path) -> None:
    common = ["--methods", "mtl-lora", "--backbone", NO_DROPOUT]  # dropout would draw other masks
    assert mtl_lora(*run_arguments(tiny, tmp_path / "plain", *common)) == 0
    assert mtl_lora(*run_arguments(tiny, tmp_path / "other", *common, *execution)) == 0
    (plain,), (other,) = RunStore(tmp_path / "plain").finished(), RunStore(tmp_path / "other").finished()
    assert plain.id == other.id
    assert other.training.loss == pytest.approx(plain.training.loss, rel=1e-3)


@pytest.mark.parametrize("method", ["lora", "dora", "multilora", "moelora", "mtl-lora"])
def test_a_run_stopped_after_a_checkpoint_and_resumed_equals_one_left_alone(
    method: str, finished: RunStore, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = run_arguments(tiny, tmp_path, "--methods", method)
    mark = MarkComplete.on_save

    def mark_and_stop(self: MarkComplete, args, state, control, **kwargs) -> None:
        mark(self, args, state, control, **kwargs)
        if state.global_step >= 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MarkComplete, "on_save", mark_and_stop)
        assert mtl_lora(*arguments) == 130
    assert mtl_lora(*arguments) == 0
    (resumed,) = RunStore(tmp_path).finished()
    assert resumed.training.resumed_from_step == 10
    whole = finished.find(resumed.id)
    assert resumed.scores == whole.scores and resumed.training.loss == whole.training.loss
    pd.testing.assert_frame_equal(predictions(RunStore(tmp_path), resumed.id), predictions(finished, resumed.id))


def test_a_killed_run_goes_on_and_ends_equal(tiny: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of training, then the same command again, against one that was left alone."""
    arguments = run_arguments(tiny, tmp_path / "killed", "--methods", "mtl-lora", "--epochs", "6")
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.cli", *arguments], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("checkpoints/*/checkpoint-*/complete")):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed").glob("runs/*.json"))
    assert mtl_lora(*arguments) == 0
    assert mtl_lora(*run_arguments(tiny, tmp_path / "whole", "--methods", "mtl-lora", "--epochs", "6")) == 0
    (resumed,), (whole,) = RunStore(tmp_path / "killed").finished(), RunStore(tmp_path / "whole").finished()
    assert resumed.training.resumed_from_step > 0 == whole.training.resumed_from_step
    assert resumed.id == whole.id and resumed.scores == whole.scores
    pd.testing.assert_frame_equal(
        predictions(RunStore(tmp_path / "killed"), resumed.id), predictions(RunStore(tmp_path / "whole"), whole.id)
    )


@pytest.mark.slow
def test_the_paper_preset_runs_on_a_causal_model(tiny: Path, tmp_path: Path) -> None:
    model = ["--preset", "paper", "--backbone", CAUSAL, "--budget", "16900", "--mirror", tiny]
    assert mtl_lora("run", "nlu", *model, *FAST, "--results", tmp_path) == 0
    records = RunStore(tmp_path).finished()
    assert len(records) == 5
    for record in records:
        assert record.config.backbone.pooling == "last"
        assert record.config.backbone.targets == ("q_proj", "k_proj", "v_proj", "o_proj")


def test_a_folder_of_weights_is_known_by_its_content(tiny: Path, tmp_path: Path) -> None:
    backbone = tmp_path / "my-model"
    shutil.copytree(tiny / "models" / ENCODER, backbone)
    options = ["--methods", "lora", "--tasks", "rte", "--backbone", str(backbone)]
    assert mtl_lora(*run_arguments(tiny, tmp_path, *options)) == 0
    tensors = load_file(backbone / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] += 1
    save_file(tensors, backbone / "model.safetensors", {"format": "pt"})
    assert mtl_lora(*run_arguments(tiny, tmp_path, *options)) == 0
    assert len(RunStore(tmp_path).finished()) == 2


def test_settings_make_methods_apart(tiny: Path, tmp_path: Path) -> None:
    methods = "lora,lora:dropout=0.1,mtl-lora:temperature=0.5:up_projections=2,moelora:gate=shared"
    assert mtl_lora(*run_arguments(tiny, tmp_path, "--tasks", "rte,stsb", "--methods", methods, "--budget", "17600")) == 0
    used = {r.config.method.label: r.config.method for r in RunStore(tmp_path).finished()}
    assert set(used) == set(methods.split(","))
    assert used["lora"].settings["dropout"] == 0 and used["lora:dropout=0.1"].settings["dropout"] == 0.1
    assert used["moelora:gate=shared"].settings["gate"] == "shared"


def test_plan_says_what_run_would_do(finished: RunStore, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = run_arguments(tiny, finished.folder, "--seeds", "0,1,2")[1:]
    assert mtl_lora("plan", *arguments) == 0
    shown = capsys.readouterr().out
    by_method = {r.config.method.label: r for r in finished.finished()}
    for label, record in by_method.items():
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{label} ")]
        assert f"{record.parameters.adapter:,}" in line and line.endswith("2/3")
        assert f" {record.training.steps} " in line
    assert "5 of 15 runs to do, about" in shown and "finished runs here" in shown
    assert mtl_lora("plan", *arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["left"], told["suite"]) == (15, 5, "nlu") and told["seconds"] > 0
    assert {arm["method"]: arm["adapter"] for arm in told["arms"]} == {
        label: record.parameters.adapter for label, record in by_method.items()
    }


def test_list_names_everything(capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora("list") == 0
    shown = capsys.readouterr().out
    for name in ("nlu", "stsb", "quick", "caption-south", "lora", "moelora", "mtl-lora", "full", "embedded", "paper"):
        assert f"  {name} " in shown


def test_report_renders_what_the_records_say(finished: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mtl_lora("report", "--results", finished.folder, "--out", tmp_path) == 0
    *shown, last = capsys.readouterr().out.splitlines()
    assert last == f"written: {tmp_path}/index.html, with index.md, tables/ and figures/ beside it"
    (comparison,) = compare(finished.finished())
    (paired,) = paired_tests(comparison, Results(finished.folder)).values()
    (line,) = [line for line in shown if line.startswith("nlu ")]
    for entry in comparison.entries[1:]:
        over = paired.difference(entry.label, "lora")
        assert f"  {entry.score.mean:.1f} ({over}){'*' * over.significant}" in line
    ours = paired.difference("mtl-lora", "lora")
    (told,) = [line for line in shown if line.startswith("- On real tasks (nlu) ")]
    assert f" {ours.verdict.capitalize()} in 1 of 1, by {ours.value:+.1f} points" in told
    table = pd.read_csv(tmp_path / "tables" / "scores.csv")
    own = [r for r in finished.finished() if r.config.method.label == "mtl-lora"]
    scores = pd.Series([100 * r.scores["sst2"].score for r in own])
    (row,) = table[(table["method"] == "mtl-lora") & (table["task"] == "sst2")].to_dict("records")
    assert row["mean"] == pytest.approx(scores.mean(), abs=1e-3)
    assert row["spread_over_seeds"] == pytest.approx(scores.std(), abs=1e-3)
    budget = own[0].config.budget
    cell = f"{scores.mean():.1f} ± {t_interval(scores.std(), len(own)):.1f}"
    for suffix in ("md", "tex"):
        text = (tmp_path / "tables" / f"nlu-{budget}-scores.{suffix}").read_text()
        assert cell.replace("±", r"$\pm$" if suffix == "tex" else "±") in text
        assert f"{own[0].parameters.adapter:,}" in text and "Protocol matched" in text
    drawn = [*(tmp_path / "figures").glob("*.png")]
    assert {path.stem for path in drawn} == {"forest", "nlu-seeds", "nlu-matrix"}
    for path in drawn:
        assert path.stat().st_size > 10_000 and path.with_suffix(".svg").read_bytes().startswith(b"<?xml")
    page = (tmp_path / "index.html").read_text()
    for record in finished.finished():
        assert f'{record.id}.json"' in page and record.environment.command in page


BAD = {
    "suite": (
        ["run", "glue"],
        "unknown suite 'glue'; known: ads, ads-hub, commonsense, image-text, image-text-hub, nlu, quick",
    ),
    "task": (["--tasks", "wnli"], "unknown task of suite nlu 'wnli'; known: cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte"),
    "method": (["--methods", "lora,qlora"], f"unknown method 'qlora'; known: {', '.join(sorted(methods()))}"),
    "setting": (
        ["--methods", "mtl-lora:n=2"],
        "unknown setting of mtl-lora 'n'; known: rank, alpha, dropout, up_projections, temperature, learning_rate, warmup, "
        "weight_decay, scaling",
    ),
    "setting value": (["--methods", "mtl-lora:temperature=hot"], "temperature must be of the kind of 0.1, not 'hot'"),
    "preset": (["--preset", "huge"], "unknown preset 'huge'; known: embedded, small, smollm2, paper, paper-llama3"),
    "target": (
        ["--targets", "q_proj"],
        "target module 'q_proj' is not in BertModel; its linear layers: dense, key, query, value (or all-linear)",
    ),
    "budget": (
        ["--methods", "lora", "--budget", "1000"],
        "no rank of lora meets a budget of 1,000 parameters within 10%; closest: 704 (rank 1), 1,408 (rank 2); "
        "all these methods meet 704 or 1,408 within 2%",
    ),
    "budget text": (
        ["--budget", "much"],
        "budget 'much' is neither a number of parameters (73728, 200k, 1.5M) nor a percentage (0.25%)",
    ),
    "seeds": (["--seeds", "0,x"], "seeds must be different whole numbers from 0 to 2**32 - 1, like 0,1,2, not '0,x'"),
    "split": (["--split", "train"], "unknown split 'train'; known: test, dev"),
    "precision": (["--precision", "int4"], "unknown precision 'int4'; known: float32, bfloat16"),
    "sampling": (["--sampling", "even"], "unknown sampling 'even'; known: proportional, temperature"),
    "rows": (["--max-train", "0"], "--max-train must be at least 1, not 0"),
    "no batch": (["--tasks", "rte", "--max-train", "9"], "the training rows do not fill one batch of 16"),
    "seed": (
        ["--seeds", "4294967296"],
        "seeds must be different whole numbers from 0 to 2**32 - 1, like 0,1,2, not '4294967296'",
    ),
    "experts": (["--methods", "moelora:experts=0"], "moelora: experts must be a whole number of at least 1, not 0"),
    "length": (["--max-length", "1024"], "max length 1024: tiny/encoder has no more than 512 positions"),
    "temperature": (["--temperature", "2"], "temperature sampling goes with a temperature above 1, not proportional with 2"),
    "batch": (["--accumulation", "5"], "a batch of 16 cannot be split over 1 devices x 5 micro-batches"),
    "mirror": (
        ["--mirror", "nowhere"],
        "mirror nowhere is not a folder; it should hold datasets/<hub id> and models/<hub id>",
    ),
    "model": (["--backbone", "bert/huge"], "lacks models/bert/huge; it has: tiny/causal, tiny/encoder, tiny/no-dropout"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(case: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    wrong, message = BAD[case]
    base = run_arguments(tiny, tmp_path)
    arguments = wrong if wrong[0] == "run" else [*base, *wrong]
    assert mtl_lora(*arguments) == 2
    shown = capfd.readouterr().err.strip().splitlines()
    assert len(shown) == 1 and shown[0].endswith(message), shown
    assert not list(tmp_path.glob("runs/*"))


def test_results_that_cannot_be_a_folder(tiny: Path, capfd: pytest.CaptureFixture) -> None:
    assert mtl_lora(*run_arguments(tiny, Path("/dev/null/results"))) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "Not a directory: '/dev/null/results/runs/" in line


def test_a_mirror_without_the_data_set(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "datasets" / "other" / "data").mkdir(parents=True)
    (tmp_path / "models").symlink_to(tiny / "models")
    assert mtl_lora(*run_arguments(tmp_path, tmp_path)) == 2
    assert "lacks datasets/nyu-mll/glue; it has: other/data" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_record_cut_in_half_stops_everything_and_loses_nothing(
    command: str, finished: RunStore, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = finished.record_path(finished.finished()[0].id)
    broken = tmp_path / "runs" / source.name
    broken.parent.mkdir()
    broken.write_text(source.read_text()[: source.stat().st_size // 2])
    assert mtl_lora(command, *run_arguments(tiny, tmp_path, "--seeds", "0,1")[1:]) == 2
    assert f"{broken} is not a whole run record" in capsys.readouterr().err
    assert [path.name for path in broken.parent.iterdir()] == [source.name]


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["nlu", "commonsense"])
def test_no_network_and_no_mirror(suite: str, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MTL_LORA_MIRROR"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    outcome = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", "run", suite, "--results", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 2
    (line,) = outcome.stderr.strip().splitlines()
    assert "cannot load" in line and "without internet, give --mirror DIR" in line


def test_data_that_no_hub_has(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_LORA_MIRROR", raising=False)
    assert mtl_lora("run", "ads", "--preset", "embedded", "--results", tmp_path) == 2
    assert "data set ads-relevance is on no hub: give --mirror DIR with datasets/ads-relevance" in capsys.readouterr().err


def test_records_are_plain_json(finished: RunStore) -> None:
    path = finished.record_path(finished.finished()[0].id)
    assert json.loads(path.read_text())["id"] == path.stem

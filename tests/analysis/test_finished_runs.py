"""Finished runs in use: export, prediction, and several processes at work on one folder of results."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import peft
import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load_file
from tiny_cli import mtl_lora, predictions, run_arguments
from tiny_mirror import ENCODER, NO_DROPOUT
from transformers import AutoModel, AutoTokenizer

from benchmarks.records.store import RunStore
from benchmarks.suites import find_suite

TASKS = {task.name: task for task in find_suite("nlu").tasks}


@pytest.fixture(scope="module")
def store(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """One finished run each of MTL-LoRA and DoRA."""
    results = tmp_path_factory.mktemp("results")
    assert mtl_lora(*run_arguments(tiny, results, "--methods", "mtl-lora,dora")) == 0
    return RunStore(results)


def run_ids(store: RunStore) -> list[str]:
    return [record.id for record in store.finished()]


def scored_texts(tiny: Path, name: str) -> list[str]:
    task = TASKS[name]
    rows = pd.read_parquet(tiny / "datasets" / task.dataset / task.config / f"{task.test_split}.parquet")
    return ["\t".join(texts) for texts in zip(*(rows[column] for column in task.inputs), strict=True)]


@pytest.mark.parametrize("name", ["cola", "stsb", "mnli"])
def test_predict_gives_the_answers_of_the_record(
    name: str, store: RunStore, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(scored_texts(tiny, name)) + "\n"
    (tmp_path / "in.txt").write_text(text)
    for run_id in run_ids(store):
        common = [run_id, "--task", name, "--results", store.folder, "--mirror", tiny]
        assert mtl_lora("predict", *common, tmp_path / "in.txt") == 0
        from_file = capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert mtl_lora("predict", *common) == 0
        assert capsys.readouterr().out == from_file
        recorded = predictions(store, run_id).query("task == @name").sort_values("row")["prediction"]
        if TASKS[name].graded:
            assert [float(line) for line in from_file.split()] == pytest.approx(list(recorded), abs=2e-3)
        else:
            assert from_file.split() == [TASKS[name].labels[int(value)] for value in recorded]


@pytest.mark.parametrize("name", ["cola", "mnli"])
def test_an_exported_task_gives_the_same_answers_through_peft(
    name: str, store: RunStore, tiny: Path, tmp_path: Path
) -> None:
    task, backbone = TASKS[name], tiny / "models" / ENCODER
    for run_id in run_ids(store):
        folder = tmp_path / run_id
        assert mtl_lora("export", run_id, "--task", name, "--to", folder, "--results", store.folder, "--mirror", tiny) == 0
        assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == ENCODER
        model = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(backbone), folder).eval()
        texts = [line.split("\t") for line in scored_texts(tiny, name)]
        inputs = AutoTokenizer.from_pretrained(backbone)(*zip(*texts, strict=True), padding=True, return_tensors="pt")
        head, mask = load_file(folder / "head.safetensors"), inputs["attention_mask"][:, :, None]
        with torch.no_grad():
            pooled = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
            answers = F.linear(pooled, head["weight"], head["bias"]).argmax(1)
        recorded = predictions(store, run_id).query("task == @name").sort_values("row")["prediction"]
        assert answers.tolist() == recorded.astype(int).tolist()
        assert len(head["bias"]) == len(task.labels)


def test_a_merged_task_is_a_plain_model_that_gives_the_same_answers(
    store: RunStore, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Whatever loads models loads it, with its tokenizer; a folder with something in it is never written to."""
    run_id, folder = run_ids(store)[0], tmp_path / "merged"
    command = ["merge", run_id, "--task", "cola", "--to", folder, "--results", store.folder, "--mirror", tiny]
    assert mtl_lora(*command) == 0
    assert not any("adapter" in name for name in load_file(folder / "model.safetensors"))
    texts = scored_texts(tiny, "cola")
    inputs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    head, mask = load_file(folder / "head.safetensors"), inputs["attention_mask"][:, :, None]
    with torch.no_grad():
        pooled = (AutoModel.from_pretrained(folder)(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
        answers = F.linear(pooled, head["weight"], head["bias"]).argmax(1)
    recorded = predictions(store, run_id).query("task == 'cola'").sort_values("row")["prediction"]
    assert answers.tolist() == recorded.astype(int).tolist()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    assert mtl_lora(*command) == 2
    assert capsys.readouterr().err.strip() == f"mtl-lora: {folder} is not empty: name a new folder"
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_model_card_says_what_a_folder_holds_and_an_upload_passes_through(
    store: RunStore, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls: list[tuple] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, exist_ok: calls.append((name, exist_ok)))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, repo_id, folder_path: f"hub/{repo_id}/{folder_path.name}")
    record = RunStore(store.folder).finished()[0]
    to = ["--to", tmp_path / "out", "--push-to-hub", "me/cola"]
    assert mtl_lora("export", record.id, "--task", "cola", *to, "--results", store.folder, "--mirror", tiny) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "uploaded: hub/me/cola/out" and calls == [("me/cola", True)]
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.base_model, card.data.library_name) == (ENCODER, "peft")
    value = record.scores["cola"].metrics["matthews"]
    assert f"matthews {value:.4f}" in card.text and record.id in card.text


BAD = {
    "run": (["predict", "0123", "--task", "cola"], "no run '0123' in"),
    "task": (["export", "RUN", "--task", "wnli", "--to", "x"], "unknown task of this run 'wnli'; known: cola, sst2"),
    "pair": (["predict", "RUN", "--task", "cola", "IN"], "line 1 has 2 parts; task cola takes one text"),
    "file": (["predict", "RUN", "--task", "cola", "absent.txt"], "absent.txt is not a file"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(
    case: str, store: RunStore, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, message = BAD[case]
    (tmp_path / "in.txt").write_text("w1 w2\tw3\n")
    names = {"RUN": run_ids(store)[0], "IN": str(tmp_path / "in.txt")}
    filled = [names.get(argument, argument) for argument in arguments]
    assert mtl_lora(*filled, "--results", store.folder, "--mirror", tiny) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1 and message in shown[0]


@pytest.mark.slow
def test_two_processes_on_one_folder_neither_repeat_a_run_nor_damage_a_record(tiny: Path, tmp_path: Path) -> None:
    arguments = run_arguments(tiny, tmp_path, "--methods", "lora,dora,mtl-lora")
    command = [sys.executable, "-m", "benchmarks.cli", *arguments]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    records = RunStore(tmp_path).finished()
    assert len(records) == 3
    trained = [line for out, _ in outputs for line in out.splitlines() if "score" in line]
    assert sorted(line.split()[-1] for line in trained) == sorted(str(RunStore(tmp_path).record_path(r.id)) for r in records)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_two_data_parallel_processes_give_the_result_of_one(tiny: Path, tmp_path: Path) -> None:
    common = ["--methods", "mtl-lora,lora", "--backbone", NO_DROPOUT]
    assert mtl_lora(*run_arguments(tiny, tmp_path / "one", *common)) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "benchmarks.cli"]
    outcome = subprocess.run(
        [*launch, *run_arguments(tiny, tmp_path / "two", *common)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert outcome.returncode == 0, outcome.stderr
    one, two = RunStore(tmp_path / "one"), RunStore(tmp_path / "two")
    assert run_ids(one) == run_ids(two) and len(run_ids(one)) == 2
    for run_id in run_ids(one):
        assert (one.find(run_id).execution.devices, two.find(run_id).execution.devices) == (1, 2)
        first, second = load_file(one.trained_path(run_id)), load_file(two.trained_path(run_id))
        for name, tensor in first.items():
            torch.testing.assert_close(second[name], tensor, rtol=1e-2, atol=1e-3, msg=name)
        difference = predictions(one, run_id)["prediction"] - predictions(two, run_id)["prediction"]
        assert difference.abs().lt(0.02).all()

"""A merged task under lm-evaluation-harness: the command of the page, and the scores of the record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_cli import mtl_lora
from tiny_mirror import CAUSAL, make_t5

from benchmarks.data.splits import load_task
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite

TASK = """
task: piqa
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}]
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["causal", "encoder-decoder"])
def test_scores_of_a_merged_task_are_those_of_the_record(kind: str, tiny: Path, tmp_path: Path) -> None:
    """By the likelihood of options' text, per character and as it is, on the same rows."""
    model = shutil.copytree(tiny / "models" / CAUSAL, tmp_path / "m") if kind == "causal" else make_t5(tmp_path / "m")
    common = ["--mirror", tiny, "--results", tmp_path]
    run = [
        "run",
        "commonsense",
        *common,
        "--backbone",
        model,
        "--tasks",
        "piqa,obqa",
        "--methods",
        "mtl-lora",
        "--rank",
        "4",
    ]
    run += ["--rank", "4", "--learning-rate", "0.01", "--batch-size", "16", "--max-length", "64", "--precision", "float32"]
    for norm in ("characters", "none"):
        assert mtl_lora(*run, "--answer", f"cloze:norm={norm}") == 0
    records = {record.config.answering["norm"]: record for record in RunStore(tmp_path).finished()}
    torch.testing.assert_close(records["none"].training.loss, records["characters"].training.loss)  # one model, scored twice
    merged = tmp_path / "merged"
    assert mtl_lora("merge", records["none"].id, "--task", "piqa", "--to", merged, *common) == 0
    (task,) = find_suite("commonsense").select(["piqa"])
    rows = load_task(task, Source(tiny), "test", None, None).test.select_columns(["question", "options", "label"])
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "piqa.yaml").write_text(TASK.replace("FILE", str(tmp_path / "rows.json")))
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={merged}", "--tasks", "piqa"]
    command += ["--include_path", str(tmp_path), "--output_path", str(tmp_path / "out"), "--device", "cpu"]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    outcome = subprocess.run(command, env=offline, capture_output=True, text=True, timeout=600)
    assert outcome.returncode == 0, outcome.stderr
    (file,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(file.read_text())["results"]["piqa"]
    ours = {norm: record.scores["piqa"].metrics["accuracy"] for norm, record in records.items()}
    assert (found["acc,none"], found["acc_norm,none"]) == pytest.approx((ours["none"], ours["characters"]))

"""The benchmark of speed times what it says it times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_mirror import CAUSAL, make_mirror
from tiny_models import LLAMA_TARGETS, TASKS, randomise_adapters, tiny_bert, tiny_llama, tokens
from torch import nn

from baselines.lora import LoRA
from baselines.moelora import MoELoRA
from benchmarks.answering.base import by_sample
from benchmarks.answering.log_likelihood import score_continuations
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.speed import __main__ as speed
from benchmarks.speed import language_entries, language_model
from benchmarks.speed.measure import Contestant, peak_bytes, ratio
from benchmarks.speed.references import GatheredB, LoopOverExperts, LoopOverTasks, score_whole, substitute
from benchmarks.speed.stages import stages
from mtl_lora import AdaptedModel, InvalidInput, MTLLoRA

IDS = torch.tensor([2, 0, 2, 1, 0, 2])
MTL, MOE = MTLLoRA(rank=4), MoELoRA(rank=4, experts=4, embedding=6)


@pytest.mark.parametrize("method, kind", [(MTL, GatheredB), (MTL, LoopOverTasks), (MOE, LoopOverExperts)])
def test_the_reference_layers_compute_what_ours_do(method, kind) -> None:
    outputs, gradients = [], []
    for stand_in in (False, True):
        model = randomise_adapters(AdaptedModel(tiny_bert(), method, TASKS, ["query", "dense"]))
        if stand_in:
            substitute(model, kind)
        output = model(tokens(), task_ids=IDS)[0]
        output.square().mean().backward()
        outputs.append(output)
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    assert len(gradients[0]) == len(gradients[1]) > 0
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_saved_bytes_of_known_models() -> None:
    x, linear = torch.randn(16, 32), nn.Linear(32, 8)
    assert Contestant("", linear, lambda: linear(x).sum()).saved_bytes() == 16 * 32 * 4  # the input, for the weight
    linear.requires_grad_(False)
    assert Contestant("", linear, lambda: linear(x).sum()).saved_bytes() == 0
    both = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 8))
    assert Contestant("", both, lambda: both(x).sum()).saved_bytes() == 2 * 16 * 32 * 4  # x and the output of tanh


def test_mtl_lora_keeps_hardly_more_than_lora_for_backward() -> None:
    saved = []
    for method in (LoRA(rank=1), MTLLoRA(rank=1)):  # ranks as small beside the width of 32 as 8 is beside 256
        model = AdaptedModel(tiny_bert(), method, TASKS, ["query", "key", "value"])
        inputs = tokens(samples=6, length=40)
        saved.append(Contestant("", model, lambda m=model, i=inputs: m(i, task_ids=IDS)[0].sum()).saved_bytes())
    assert saved[0] < saved[1] < 1.1 * saved[0]


def test_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    assert ratio([1.0, 20.0, 3.0], [2.0, 10.0, 3.0]) == 1.0


def test_the_command_leaves_a_record_and_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (tiny_bert(), ("query", "dense"), torch.randn(8, 6, 32))
    monkeypatch.setattr(speed, "_backbone", lambda name, mirror: small)
    monkeypatch.setattr(speed, "TARGETS", (("DoRA", "PEFT DoRA", 0.0), ("LoRA", "PEFT LoRA", 1e9)))
    speed.main(None, "tiny", "float32,bfloat16", 2, tmp_path)
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert record["environment"]["command"].startswith("python -m benchmarks.speed")
    assert [result["precision"] for result in record["results"]] == ["float32", "bfloat16"]
    rows = {row["contestant"]: row for row in record["results"][0]["rows"]}
    assert rows["frozen base (the bound)"]["parameters"] == 0
    assert rows["LoRA"]["parameters"] == rows["PEFT LoRA"]["parameters"] > 0
    assert rows["DoRA"]["parameters"] == rows["PEFT DoRA"]["parameters"]
    assert rows["PEFT LoRA"]["step_ratio"] == 1.0 and all(row["step_ms"] > 0 for row in rows.values())
    missed, met, saved = record["results"][0]["targets"]
    assert not missed["met"] and met["met"] and saved["measured"] > 1 and 0 < missed["bound"]
    where = record["results"][0]["profiles"]
    assert set(where) == {"DoRA", "PEFT DoRA", "frozen base (the bound)"}  # the sides of the target that was missed
    assert any("mm" in spent["operator"] for spent in where["DoRA"]) and sum(s["share"] for s in where["DoRA"]) <= 1
    assert "| MTL-LoRA, n 3" in (tmp_path / "speed-cpu.md").read_text() or torch.cuda.is_available()


@torch.no_grad()
def test_every_option_read_whole_scores_as_ours_does() -> None:
    model = randomise_adapters(AdaptedModel(tiny_llama(), MTL, TASKS, LLAMA_TARGETS))
    inputs = {
        "input_ids": torch.tensor([[0, 5, 6], [7, 8, 9]]),
        "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]]),
        "task_ids": torch.tensor([2, 0]),
        "options": torch.tensor([2, 1]),
        "continuations": torch.tensor([[3, 4, 0], [5, 0, 0], [6, 7, 8]]),
        "scored": torch.tensor([[0, 1, 0], [1, 0, 0], [1, 1, 1]]),
    }
    expected = by_sample(score_continuations(model, **inputs), inputs["options"])
    torch.testing.assert_close(score_whole(model, **inputs, rows_at_once=2), expected, rtol=1e-5, atol=1e-5)


def test_the_peak_is_that_of_the_work_alone() -> None:
    held = torch.ones(30_000_000)
    found = peak_bytes(lambda: held + 1)
    assert 0.9 * held.nbytes < found < 1.5 * held.nbytes
    assert peak_bytes(lambda: None) < 0.1 * held.nbytes


def test_the_benchmark_of_language_models_compares_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = make_mirror(tmp_path / "mirror")
    monkeypatch.setattr(language_model, "BACKBONES", {"tiny": CAUSAL})
    monkeypatch.setattr(language_entries, "HARNESS_BATCHES", (8,))
    language_model.main(mirror, backbone="tiny", rows=2, rounds=1, out=tmp_path)
    parts = {part: json.loads((tmp_path / f"{part}-cpu-tiny.json").read_text()) for part in ("training", "scoring")}
    rows = [row for part in parts.values() for row in part["entries"]]
    assert [len(row["rounds"]) for row in rows] == [1] * 9
    padding = {row["entry"]: row["padding"] for row in rows if row["padding"] is not None}
    assert set(padding) == {"training step: LoRA", "cloze"} and all(0 <= share < 0.5 for share in padding.values())
    checked = {part: {(c["target"].split(" / ")[0], c["of"]) for c in record["targets"]} for part, record in parts.items()}
    assert checked == {
        "training": {("training step: LoRA", "time"), ("training step: LoRA", "memory")},
        "scoring": {("cloze", "time"), ("likelihood", "time")},
    }
    with pytest.raises(InvalidInput, match=r"unknown name 'tuning'.*training"):
        language_model.main(mirror, backbone="tiny", part="tuning")


@pytest.mark.slow
def test_what_a_worker_keeps_costs_its_next_run_nothing() -> None:
    few = {"tasks": "sense-north,sense-south", "max_train": 24, "max_eval": 12, "batch_size": 16, "epochs": 1}
    alone, after = stages(StudyOptions("quick", methods="lora", budget="7168", seeds="0,1", **few))
    assert alone["imports"] > 1 and "imports" not in after and "options and data" not in after
    assert after["rows as tokens"] < alone["rows as tokens"] / 4
    assert all(seconds >= 0 for seconds in (*alone.values(), *after.values()))

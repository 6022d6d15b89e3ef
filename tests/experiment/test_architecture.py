"""A backbone of one's own and nothing else: how it is read goes by its architecture, and a plan needs no weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_cli import mtl_lora
from tiny_mirror import CAUSAL, ENCODER
from tiny_zoo import ZOO

from benchmarks.experiment.architecture import pooling_of, targets_of
from benchmarks.experiment.presets import PICTURE_PRESETS, PRESETS
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from mtl_lora import target_layers

READ = {
    "llama": ("last", "q_proj,k_proj,v_proj,o_proj"),
    "opt": ("last", "q_proj,k_proj,v_proj,out_proj"),
    "phi3": ("last", "qkv_proj,o_proj"),
    "gpt-neox": ("last", "query_key_value,dense"),
    "mamba": ("last", "all-linear"),
    "bert": ("mean", "query,key,value,dense"),
    "roberta": ("mean", "query,key,value,dense"),
    "modernbert": ("mean", "Wqkv,Wo"),
    "deberta-v3": ("mean", "value_proj,dense"),
    "t5": ("last", "q,k,v,o"),
    "bart": ("last", "q_proj,k_proj,v_proj,out_proj"),
}


@pytest.mark.parametrize("name", READ)
def test_pooling_and_targets_by_architecture(name: str) -> None:
    with torch.device("meta"):
        model = ZOO[name].build()
    targets = targets_of(model, PRESETS["embedded"].backbone)
    assert (pooling_of(model), ",".join(targets)) == READ[name]
    assert target_layers(model, targets)


def test_targets_of_the_preset_stay_where_the_model_has_them() -> None:
    with torch.device("meta"):
        model = ZOO["llama"].build()
    like = PICTURE_PRESETS["small"].backbone
    assert targets_of(model, like) == like.targets != targets_of(model, PRESETS["paper"].backbone)


@pytest.mark.parametrize("suite, name", [("nlu", ENCODER), ("nlu", CAUSAL), ("commonsense", CAUSAL)])
def test_what_is_chosen_is_that_what_options_would_say(suite: str, name: str, tiny: Path) -> None:
    pooling, targets = READ["llama" if name == CAUSAL else "bert"]
    common = {"suite": suite, "mirror": tiny, "backbone": name, "methods": "lora", "rank": 2, "max_length": 32}
    (chosen,), (said,) = studies(StudyOptions(**common)), studies(StudyOptions(**common, pooling=pooling, targets=targets))
    assert [run.id for run in chosen.runs()] == [run.id for run in said.runs()]
    assert chosen.notes and not said.notes


def test_a_plan_needs_a_configuration_alone_and_says_what_was_chosen(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    model = shutil.copytree(tiny / "models" / CAUSAL, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    options = ["--mirror", tiny, "--backbone", model, "--methods", "lora", "--rank", "2", "--max-length", "32"]
    assert mtl_lora("plan", "commonsense", *options, "--tasks", "piqa", "--results", tmp_path) == 0
    shown = capfd.readouterr().out
    read = "pooling last, targets q_proj,k_proj,v_proj,o_proj, answer mode generation"
    assert f"by its architecture, LlamaModel: {read}" in shown.splitlines()
    assert "1 of 1 run to do, unknown here" in shown
    assert mtl_lora("run", "commonsense", *options, "--tasks", "piqa", "--results", tmp_path) == 2
    assert "holds no weights" in capfd.readouterr().err
    assert mtl_lora("plan", "commonsense", *options, "--tasks", "piqa", "--targets", "all-linear") == 0
    assert "targets all-linear" in capfd.readouterr().out

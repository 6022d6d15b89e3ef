"""Runs on frozen bases that are quantised when they are loaded, or were saved so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_cli import mtl_lora
from tiny_mirror import CAUSAL, ENCODER
from torch import nn
from transformers import BertConfig, BertModel

from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from mtl_lora import AdaptedModel, InvalidInput, find_method
from mtl_lora.weights import dense, is_quantised

MODEL = ["--rank", "4", "--batch-size", "16", "--learning-rate", "0.01", "--precision", "float32", "--max-length", "64"]


def quantisation(folder: Path, kind: object) -> None:
    """Have the configuration of a model say that it is quantised."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": kind}}))


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("kind", ["bitsandbytes", "gptq"])
def test_models_that_other_libraries_quantised_are_refused(
    command: str, kind: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    model = shutil.copytree(tiny / "models" / CAUSAL, tmp_path / "model")
    quantisation(model, kind)
    assert mtl_lora(command, "commonsense", "--mirror", tiny, "--backbone", model, "--results", tmp_path, *MODEL) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"model {model} is quantised by {kind}; adapted are weights that torchao has quantised" in line


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--quantise", "int3"], "unknown kind of quantised weights 'int3'; known: int8, int4"),
        (["--quantise", "int8", "--methods", "lora,full"], "quantised weights stay frozen, and full trains the base"),
        (
            ["--quantise", "int4", "--methods", "lora"],
            "int4 has a scale for 32 inputs: encoder.layer.0.output.dense has 48; int8 takes any number",
        ),
    ],
    ids=["kind", "trained", "groups"],
)
def test_what_cannot_be_quantised_is_one_line(
    more: list[str], line: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert mtl_lora("plan", "nlu", "--mirror", tiny, "--backbone", ENCODER, *MODEL, *more, "--results", tmp_path) == 2
    assert line in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("saved", [False, True], ids=["when loaded", "as saved"])
def test_a_run_on_a_quantised_base_is_trained_saved_and_scored(
    saved: bool, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """And its tasks answer and are exported; into the base none is merged."""
    pytest.importorskip("torchao")
    from benchmarks.sources.quantised import torchao_config

    model = shutil.copytree(tiny / "models" / CAUSAL, tmp_path / "model")
    if saved:
        base = Source().model(str(model), None, torch.float32, True, "int8")
        base.config.quantization_config = torchao_config("int8")
        base.save_pretrained(model)
    common = ["--mirror", tiny, "--backbone", model, *MODEL, "--results", tmp_path, "--tasks", "siqa,arc-e"]
    common += ["--answer", "likelihood", *([] if saved else ["--quantise", "int8"])]
    assert mtl_lora("run", "commonsense", *common, "--methods", "mtl-lora,dora,pissa", "--epochs", "2") == 0
    for record in (records := RunStore(tmp_path).finished()):
        assert record.config.backbone.quantise == (None if saved else "int8")
        assert record.training.loss[-1] < record.training.loss[0]
    assert len(records) == 3
    asked = tmp_path / "asked.txt"
    asked.write_text("choose: w1 good Answer1: w2 good Answer2: w3 bad Answer format: answer1/answer2\n")
    one = ["--task", "siqa", "--results", tmp_path, "--mirror", tiny]
    run = next(record.id for record in records if record.config.method.name == "mtl-lora")
    capfd.readouterr()
    assert mtl_lora("predict", run, asked, *one) == 0
    assert capfd.readouterr().out.strip() in ("answer1", "answer2")
    assert mtl_lora("export", run, *one, "--to", tmp_path / "peft") == 0
    assert mtl_lora("merge", run, *one, "--to", tmp_path / "plain") == 2
    assert "is quantised, so no task can be merged into it" in capfd.readouterr().err
    if saved:
        assert mtl_lora("plan", "commonsense", *common, "--quantise", "int8") == 2
        assert "is quantised already" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "most", "group"), [("int8", 127, 64), ("int4", 7, 32)])
def test_weights_are_those_of_their_bits_and_the_rest_as_it_was(bits: str, most: int, group: int, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    size = {"vocab_size": 50, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(**size), add_pooling_layer=False).save_pretrained(tmp_path)
    plain = Source().model(str(tmp_path), None, torch.float32)
    held = Source().model(str(tmp_path), None, torch.float32, quantise=bits)
    for name, layer in plain.named_modules():
        other = held.get_submodule(name)
        if isinstance(layer, nn.Linear):
            numbers = layer.weight.unflatten(1, (-1, group))
            step = numbers.abs().amax(2, keepdim=True) / most
            assert is_quantised(other.weight)
            assert ((dense(other.weight).unflatten(1, (-1, group)) - numbers).abs() <= 0.51 * step).all()
        elif isinstance(layer, nn.Embedding):
            assert torch.equal(other.weight, layer.weight)
    with pytest.raises(InvalidInput, match="is quantised and stays frozen, so full cannot train it"):
        AdaptedModel(held, find_method("full")(), ["a"], ["query"])

"""Frozen bases that torchao has quantised compute what the numbers they stand for would."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import LLAMA_TARGETS, TASKS, randomise_adapters, tiny_llama, tokens
from torch import nn
from transformers import LlamaForCausalLM

from baselines.dora import DoRA
from baselines.peft_format import export_peft
from baselines.peft_import import import_peft
from baselines.pissa import PiSSA
from mtl_lora import AdaptedModel, InvalidInput, Method, MTLLoRA, save_trained

torchao = pytest.importorskip("torchao.quantization")
IDS = [0, 1, 2, 0, 1, 2]


def quantised(bits: int) -> LlamaForCausalLM:
    kinds = {8: torchao.Int8WeightOnlyConfig(), 4: torchao.IntxWeightOnlyConfig(weight_dtype=torch.int4)}
    model = tiny_llama()
    torchao.quantize_(model, kinds[bits])
    return model


def dequantised(bits: int) -> LlamaForCausalLM:
    model = quantised(bits)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(layer.weight.dequantize())
    return model


def adapted(base: LlamaForCausalLM, method: Method, targets: list[str] | str) -> AdaptedModel:
    return randomise_adapters(AdaptedModel(base, method, TASKS, targets))


@pytest.mark.parametrize("targets", [LLAMA_TARGETS, "all-linear"], ids=["named", "all-linear"])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("method", [MTLLoRA(rank=4), DoRA(rank=4), PiSSA(rank=4)], ids=lambda method: method.name)
def test_outputs_and_gradients_are_those_of_the_numbers_it_stands_for(method: Method, bits: int, targets) -> None:
    ours, theirs = adapted(quantised(bits), method, targets), adapted(dequantised(bits), method, targets)
    outputs = [model(tokens(), labels=tokens(), task_ids=IDS) for model in (ours, theirs)]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.loss.backward()
    for name, parameter in ours.adapter_parameters().items():
        wanted = theirs.adapter_parameters()[name].grad
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-3, atol=1e-5, msg=name)


def test_what_was_trained_is_saved_and_exported_and_belongs_to_the_quantised_base(tmp_path: Path) -> None:
    model = adapted(quantised(8), MTLLoRA(rank=4), LLAMA_TARGETS)
    native = model(tokens(), task_ids=["b"] * 6).logits
    save_trained(model, tmp_path / "file")
    loaded = AdaptedModel.from_trained(quantised(8), tmp_path / "file")
    assert torch.equal(loaded(tokens(), task_ids=["b"] * 6).logits, native)
    for other in (tiny_llama(), quantised(4)):
        with pytest.raises(InvalidInput, match="is of another base model"):
            AdaptedModel.from_trained(other, tmp_path / "file")
    export_peft(model, "b", tmp_path / "peft")
    plain = import_peft(quantised(8), tmp_path / "peft", ["b"])
    torch.testing.assert_close(plain(tokens(), task_ids=["b"] * 6).logits, native, rtol=1e-4, atol=1e-5)


def test_nothing_is_merged_into_it() -> None:
    model = adapted(quantised(8), MTLLoRA(rank=4), LLAMA_TARGETS)
    before = model(tokens(), task_ids=IDS).logits
    with pytest.raises(InvalidInput, match="q_proj of the base is quantised, so no task can be merged into it"):
        model.unload("a")
    assert torch.equal(model(tokens(), task_ids=IDS).logits, before)

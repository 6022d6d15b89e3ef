"""GPT-2, whose layers keep their weights transposed, and what "all-linear" leaves out."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from tiny_models import TASKS, randomise_adapters, tokens
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.peft_format import export_peft
from baselines.peft_import import import_peft
from baselines.pissa import PiSSA
from mtl_lora import AdaptedModel, Method, MTLLoRA, target_dims

TARGETS = ["c_attn", "c_proj", "c_fc"]


def tiny_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)).eval()


def adapted(method: Method) -> AdaptedModel:
    return randomise_adapters(AdaptedModel(tiny_gpt2(), method, TASKS, TARGETS))


def logits(model: AdaptedModel) -> torch.Tensor:
    return model(tokens(), task_ids=["b"] * 6).logits


@pytest.mark.parametrize("method", [MTLLoRA(rank=4), DoRA(rank=4), PiSSA(rank=4)], ids=lambda method: method.name)
def test_gpt2_starts_as_its_base_and_leaves_as_what_peft_and_a_merge_compute(method: Method, tmp_path: Path) -> None:
    start = AdaptedModel(tiny_gpt2(), method, TASKS, TARGETS)
    torch.testing.assert_close(logits(start), tiny_gpt2()(tokens()).logits, rtol=1e-4, atol=1e-5)
    model = adapted(method)
    export_peft(model, "b", tmp_path)
    theirs = peft.PeftModel.from_pretrained(tiny_gpt2(), tmp_path).eval()
    native = logits(model)
    torch.testing.assert_close(theirs(tokens()).logits, native, rtol=1e-4, atol=1e-5)
    model.merge("b")
    torch.testing.assert_close(logits(model), native, rtol=1e-4, atol=1e-5)
    model.unmerge()
    assert torch.equal(logits(model), native)
    model.unload("b").save_pretrained(tmp_path / "plain")
    plain = GPT2LMHeadModel.from_pretrained(tmp_path / "plain").eval()
    torch.testing.assert_close(plain(tokens()).logits, native, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use_dora", [False, True])
def test_gradients_and_checkpoints_of_gpt2_are_those_of_peft(use_dora: bool, tmp_path: Path) -> None:
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, use_dora=use_dora, fan_in_fan_out=True)
    theirs = peft.get_peft_model(tiny_gpt2(), config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    ours = import_peft(tiny_gpt2(), tmp_path, ["only"])
    theirs(tokens(), labels=tokens()).loss.backward()
    ours(tokens(), labels=tokens(), task_ids=["only"] * 6).loss.backward()
    wanted = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in ours.adapter_parameters().items()}
    assert len(wanted) == len(found) == 2 * 4 * (3 if use_dora else 2)
    for name, gradient in found.items():
        layer, own = name.removeprefix("base.").split(".adapter.")
        other = {"A": "lora_A.default.weight", "B": "lora_B.default.weight", "m": "lora_magnitude_vector.default.weight"}[
            own
        ]
        torch.testing.assert_close(gradient, wanted[f"base_model.model.{layer}.{other}"], rtol=1e-3, atol=1e-6, msg=name)


def test_all_linear_of_gpt2_and_the_widths_of_its_layers() -> None:
    dims = target_dims(tiny_gpt2(), "all-linear")
    assert dims == [(32, 96), (32, 32), (32, 128), (128, 32)] * 2


def test_all_linear_says_what_it_leaves_out_and_why() -> None:
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_features, self.out_features = 8, 8
            self.register_buffer("codes", torch.zeros(8, 8, dtype=torch.int8))

    experts = nn.Module()
    experts.up = nn.Parameter(torch.zeros(2, 8, 8))
    block = nn.ModuleDict({"q": nn.Linear(8, 8), "v": Quantised(), "mixer": nn.MultiheadAttention(8, 2), "experts": experts})
    said = (
        r"^all-linear leaves out layers of kind Quantised: layers.*.v; what MultiheadAttention reads without calling it: "
        r"layers.*.mixer.out_proj; weights of three dimensions: layers.*.experts.up$"
    )
    with pytest.warns(UserWarning, match=said):
        model = AdaptedModel(nn.ModuleDict({"layers": nn.ModuleList([block])}), LoRA(rank=4), TASKS, "all-linear")
    assert [name for name, _ in model.layers()] == ["layers.0.q"]

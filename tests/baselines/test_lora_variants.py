"""Variants of LoRA that other papers propose, against PEFT's own of each."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from tiny_models import LLAMA_TARGETS, adapted_llama, randomise_adapters, tiny_bert, tiny_llama, tokens
from torch import nn
from transformers import TrainingArguments

from baselines.lora_plus import LoRAPlus
from baselines.pissa import PiSSA
from baselines.poly import Poly
from baselines.rslora import RsLoRA
from benchmarks.answering.base import TaskModel
from benchmarks.answering.registry import ANSWER_MODES
from benchmarks.suites import find_suite
from benchmarks.training.trainer import AdapterTrainer
from mtl_lora import AdaptedModel, InvalidInput

RATE, RATIO = 1e-3, 16.0
THEIRS = {"A": "lora_A.default.weight", "B": "lora_B.default.weight"}


def test_rslora_equals_pefts() -> None:
    model = adapted_llama(RsLoRA(rank=4, alpha=8))
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=LLAMA_TARGETS, use_rslora=True)
    theirs = peft.get_peft_model(tiny_llama(), config)
    copy_into_peft(model, theirs)
    torch.testing.assert_close(model(tokens(), task_ids=["a"] * 6).logits, theirs(tokens()).logits)


def copy_into_peft(model: AdaptedModel, theirs: peft.PeftModel) -> None:
    with torch.no_grad():
        for name, parameter in model.adapter_parameters().items():
            layer, _, tensor = name.removeprefix("base.").rpartition(".adapter.")
            theirs.get_parameter(f"base_model.model.{layer}.{THEIRS[tensor]}").copy_(parameter)


def trainer(method: LoRAPlus, folder: Path) -> AdapterTrainer:
    """One for two tasks with heads, as runs have."""
    tasks = find_suite("nlu").tasks[:2]
    backbone = AdaptedModel(tiny_bert(), method, [task.name for task in tasks], ["query", "value"])
    model: TaskModel = ANSWER_MODES["heads"]().model(backbone, tasks, "mean", seed=0)
    arguments = TrainingArguments(folder, learning_rate=RATE, weight_decay=0.1, use_cpu=True, report_to="none", max_steps=4)
    return AdapterTrainer(model=model, args=arguments)


def test_lora_plus_gives_each_tensor_the_rate_that_peft_gives_it(tmp_path: Path) -> None:
    ours = trainer(LoRAPlus(rank=4), tmp_path)
    ours.create_optimizer_and_scheduler(4)
    config = peft.LoraConfig(r=4, target_modules=["query", "value"])
    theirs = peft.get_peft_model(tiny_bert(), config)
    decay = {"weight_decay": 0.1, "loraplus_weight_decay": 0.1}
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=RATE, loraplus_lr_ratio=RATIO, **decay)
    assert rates(ours.model.backbone, ours.optimizer, "adapter.") == rates(theirs, optimizer, "lora_")
    heads = {id(p) for name, p in ours.model.named_parameters() if p.requires_grad and ".adapter." not in name}
    assert {group["lr"] for group in ours.optimizer.param_groups for p in group["params"] if id(p) in heads} == {RATE}
    ours.optimizer.step()
    ours.lr_scheduler.step()
    assert {group["lr"] for group in ours.optimizer.param_groups} == {0.75 * RATE, 0.75 * RATE * RATIO}  # after 1 of 4 steps


def rates(model: torch.nn.Module, optimizer: torch.optim.Optimizer, mark: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Learning rate and weight decay of each factor, by layer and A or B."""
    own = {id(p): name for name, p in model.named_parameters() if mark in name}
    found = {}
    for group in optimizer.param_groups:
        for name in (own[id(p)] for p in group["params"] if id(p) in own):
            layer = name.partition(f".{mark}")[0].partition("encoder.")[2]
            found[layer, name.partition(mark)[2][0]] = (group["lr"], group["weight_decay"])
    return found


def test_one_adam_step_moves_b_by_its_own_rate(tmp_path: Path) -> None:
    ours = trainer(LoRAPlus(rank=4, rate_ratio=4.0), tmp_path)
    randomise_adapters(ours.model.backbone)
    ours.create_optimizer()
    adapters = ours.model.backbone.adapter_parameters()
    before = {name: p.detach().clone() for name, p in adapters.items()}
    ours.model.backbone(tokens(), task_ids=[0] * 6)[0].logsumexp(-1).mean().backward()
    for group in ours.optimizer.param_groups:
        group["weight_decay"] = 0.0
    ours.optimizer.step()
    for name, p in adapters.items():
        rate = 4 * RATE if name.endswith("B") else RATE
        assert (p - before[name]).abs().median().item() == pytest.approx(rate, rel=1e-2)  # Adam's first step is the rate


def test_a_method_without_rates_of_its_own_keeps_the_groups_of_the_trainer(tmp_path: Path) -> None:
    plain = trainer(LoRAPlus(rank=4, rate_ratio=1.0), tmp_path)
    plain.create_optimizer()
    assert len(plain.optimizer.param_groups) == 2 and {group["lr"] for group in plain.optimizer.param_groups} == {RATE}


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), "16"])
def test_a_ratio_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidInput, match="lora-plus: rate_ratio must be a number above 0"):
        LoRAPlus(rate_ratio=wrong)


def test_pissa_equals_pefts_after_steps_of_training() -> None:
    ours = adapted_llama(PiSSA(rank=4, alpha=8), randomise=False)
    torch.testing.assert_close(ours(tokens(), task_ids=["a"] * 6).logits, tiny_llama()(tokens()).logits, rtol=0, atol=1e-6)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=LLAMA_TARGETS, init_lora_weights="pissa")
    theirs = peft.get_peft_model(tiny_llama(), config)
    for model, ids in ((ours, {"task_ids": ["a"] * 6}), (theirs, {})):
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        for _ in range(3):
            optimizer.zero_grad()
            model(tokens(), labels=tokens(), **ids).loss.backward()
            optimizer.step()
    after = ours(tokens(), task_ids=["a"] * 6).logits
    assert (after - tiny_llama()(tokens()).logits).abs().max() > 1e-2
    torch.testing.assert_close(after, theirs(tokens()).logits, rtol=1e-4, atol=1e-5)


def test_poly_equals_pefts_task_by_task() -> None:
    ours = adapted_llama(Poly(rank=2, alpha=1, skills=3))
    config = peft.PolyConfig(task_type="CAUSAL_LM", r=2, n_tasks=3, n_skills=3, target_modules=LLAMA_TARGETS)
    theirs = peft.get_peft_model(tiny_llama(), config).eval()
    with torch.no_grad():
        for name, parameter in ours.adapter_parameters().items():
            layer, _, tensor = name.removeprefix("base.").rpartition(".adapter.")
            module = theirs.get_submodule(f"base_model.model.{layer}")
            if tensor == "logits":
                module.poly_router["default"].module_logits.copy_(parameter)
            elif tensor == "A":  # theirs: (splits, skills, d_in, r)
                module.poly_lora_A["default"].copy_(parameter.unflatten(0, (3, 2)).transpose(1, 2)[None])
            else:  # (splits, skills, r, d_out)
                module.poly_lora_B["default"].copy_(parameter.unflatten(1, (3, 2)).permute(1, 2, 0)[None])
    ids = torch.tensor([0, 1, 2, 2, 0, 1])
    mixed = ours(tokens(), task_ids=ids).logits
    torch.testing.assert_close(mixed, theirs(tokens(), task_ids=ids).logits)
    assert (mixed - tiny_llama()(tokens()).logits).abs().max() > 1e-2


def test_pissa_has_no_rank_above_that_of_its_weights_and_leaves_the_base_as_it_was() -> None:
    base = nn.Sequential(nn.Linear(12, 12), nn.Linear(4, 12))
    with pytest.raises(InvalidInput, match=r"rank 9 is above the 4 that W has"):
        AdaptedModel(base, PiSSA(rank=9), ["task"], ["0", "1"])
    assert all(type(layer) is nn.Linear for layer in base) and all(p.requires_grad for p in base.parameters())

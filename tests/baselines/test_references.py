"""The references: what they are equal to, and that they bound what they should."""

from __future__ import annotations

import torch
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, tiny_llama, tokens

from baselines.lora import LoRA
from baselines.references import FullFineTuning, HeadsOnly, LoRAPerTask
from mtl_lora import AdaptedModel

IDS = torch.tensor([2, 0, 1, 1, 0, 2])


def test_lora_per_task_is_as_many_loras() -> None:
    """Each task's samples see the LoRA of its own slices, and only that one learns from them."""
    model = adapted_llama(LoRAPerTask(rank=4, alpha=8))
    mixed = model(tokens(), task_ids=IDS).logits
    for task in range(len(TASKS)):
        single = adapted_llama(LoRA(rank=4, alpha=8), ["only"])
        own = slice(4 * task, 4 * task + 4)
        with torch.no_grad():
            for (_, ours), (_, theirs) in zip(model.layers(), single.layers(), strict=True):
                theirs.adapter["A"].copy_(ours.adapter["A"][own])
                theirs.adapter["B"].copy_(ours.adapter["B"][:, own])
        rows = IDS == task
        expected = single(tokens()[rows], task_ids=["only"] * int(rows.sum())).logits
        torch.testing.assert_close(mixed[rows], expected, rtol=1e-4, atol=1e-5)
    model(tokens()[:2], task_ids=[1, 1]).logits.square().mean().backward()
    for _, layer in model.layers():
        moved = layer.adapter["A"].grad.abs().sum(1).unflatten(0, (3, 4)).sum(1) > 0
        assert moved.tolist() == [False, True, False]


def test_heads_only_is_the_base_model_and_trains_nothing_of_it() -> None:
    model = AdaptedModel(tiny_llama(), HeadsOnly(), TASKS, LLAMA_TARGETS)
    torch.testing.assert_close(model(tokens(), task_ids=IDS).logits, tiny_llama()(tokens()).logits, rtol=0, atol=0)
    assert model.count() == 0 and not any(p.requires_grad for p in model.parameters())
    model.merge("a")
    torch.testing.assert_close(model(tokens(), task_ids=["a"] * 6).logits, tiny_llama()(tokens()).logits, rtol=0, atol=0)


def test_full_trains_every_weight_of_the_base_as_if_it_stood_alone() -> None:
    model, plain = AdaptedModel(tiny_llama(), FullFineTuning(), TASKS, LLAMA_TARGETS), tiny_llama()
    model(tokens(), task_ids=IDS).logits.square().mean().backward()
    plain(tokens()).logits.square().mean().backward()
    gradients = {name.replace(".base.", "."): p.grad for name, p in model.base.named_parameters()}
    assert gradients.keys() == dict(plain.named_parameters()).keys()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)

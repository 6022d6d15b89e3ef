"""A trained file alone says how a base is adapted; tasks can join those that it knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, randomise_adapters, tiny_bert, tiny_llama, tokens
from torch import nn

from baselines.references import LoRAPerTask
from mtl_lora import AdaptedModel, InvalidInput, Method, MTLLoRA, save_trained

IDS = [0, 1, 2, 0, 1, 2]


def test_a_file_and_its_base_give_the_model_that_was_saved(method: Method, tmp_path: Path) -> None:
    model = adapted_llama(method)
    save_trained(model, tmp_path / "file")
    again = AdaptedModel.from_trained(tiny_llama(), tmp_path / "file")
    assert (again.method, again.tasks) == (method, model.tasks)
    torch.testing.assert_close(again(tokens(), task_ids=IDS).logits, model(tokens(), task_ids=IDS).logits, rtol=0, atol=0)


def test_a_task_joins_and_the_others_stay_what_they_were(folding: Method, tmp_path: Path) -> None:
    if folding.reference:
        return  # refused, below
    model = adapted_llama(folding)
    save_trained(model, tmp_path / "file")
    before = model(tokens(), task_ids=IDS).logits
    more = AdaptedModel.from_trained(tiny_llama(), tmp_path / "file", new_tasks=["new"], freeze=True)
    assert more.tasks == (*TASKS, "new")
    by_task = more.count() > model.count()
    if by_task:
        optimizer = torch.optim.AdamW([p for p in more.parameters() if p.requires_grad], lr=0.1, weight_decay=0.0)
        for _ in range(2):
            optimizer.zero_grad()
            more(tokens(), labels=tokens(), task_ids=[3, 3, 3, 0, 1, 2]).loss.backward()
            optimizer.step()
    torch.testing.assert_close(more(tokens(), task_ids=IDS).logits, before, rtol=1e-6, atol=1e-6)
    save_trained(more, tmp_path / "more")  # frozen tensors too
    again = AdaptedModel.from_trained(tiny_llama(), tmp_path / "more")
    torch.testing.assert_close(again(tokens(), task_ids=[3] * 6).logits, more(tokens(), task_ids=[3] * 6).logits)


def test_a_new_task_of_mtl_lora_learns(tmp_path: Path) -> None:
    save_trained(adapted_llama(MTLLoRA(rank=4)), tmp_path / "file")
    model = AdaptedModel.from_trained(tiny_llama(), tmp_path / "file", new_tasks=["new"], freeze=True)
    trained = {name.rpartition(".")[2] for name, p in model.adapter_parameters().items() if p.requires_grad}
    assert trained == {"Lambda", "w"}
    before = model(tokens(), task_ids=["new"] * 6).logits
    model(tokens(), labels=tokens(), task_ids=["new"] * 6).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    assert not torch.equal(model(tokens(), task_ids=["new"] * 6).logits, before)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    save_trained(adapted_llama(MTLLoRA(rank=4)), tmp_path / "file")
    with pytest.raises(InvalidInput, match=r"target module 'model\.layers\.0\.self_attn\.._proj' is not in BertModel"):
        AdaptedModel.from_trained(tiny_bert(), tmp_path / "file")
    with pytest.raises(InvalidInput, match="is of another base model"):
        AdaptedModel.from_trained(tiny_llama(seed=1), tmp_path / "file")
    with pytest.raises(InvalidInput, match="task names must be a list of strings that differ"):
        AdaptedModel.from_trained(tiny_llama(), tmp_path / "file", new_tasks=["a"])
    save_trained(AdaptedModel(tiny_llama(), LoRAPerTask(rank=2), TASKS, LLAMA_TARGETS), tmp_path / "apart")
    with pytest.raises(InvalidInput, match="lora-per-task has no row for each task, so no task can be added"):
        AdaptedModel.from_trained(tiny_llama(), tmp_path / "apart", new_tasks=["new"])
    headed = nn.Sequential(randomise_adapters(adapted_llama(MTLLoRA(rank=4))), nn.Linear(2, 2))
    save_trained(headed, tmp_path / "headed")
    with pytest.raises(InvalidInput, match="is of more than an adapted model"):
        AdaptedModel.from_trained(tiny_llama(), tmp_path / "headed")


def test_a_method_of_an_installed_package_is_found_without_importing_it() -> None:
    command = [sys.executable, "-c", "from mtl_lora import find_method; print(find_method('lora').name)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "lora\n"

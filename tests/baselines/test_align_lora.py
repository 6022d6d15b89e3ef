"""Align-LoRA: its penalty against PyTorch's own divergence, and that nothing of it is lost on the way to the loss."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_cli import mtl_lora, run_arguments
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, tiny_llama, tokens
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from baselines.align_lora import EPSILON, AlignLoRA
from baselines.lora import LoRA
from benchmarks.records.store import RunStore
from mtl_lora import AdaptedModel, InvalidInput

IDS = [0, 0, 2, 0, 2, 2]


def of_task(z: Tensor, ids: Tensor, task: int) -> Normal:
    values = z[ids == task].flatten(0, 1)
    return Normal(values.mean(0), (values.var(0) + EPSILON).sqrt())


def test_the_penalty_is_the_mean_divergence_of_the_pairs_of_tasks() -> None:
    z, ids = torch.randn(9, 4, 5, dtype=torch.float64), torch.tensor([0, 1, 3, 0, 1, 3, 3, 1, 0])
    z = z * (1 + ids[:, None, None]) + ids[:, None, None]
    theirs = []
    for one, other in combinations([0, 1, 3], 2):  # task 2 is not in the batch
        p, q = of_task(z, ids, one), of_task(z, ids, other)
        theirs.append((kl_divergence(p, q) + kl_divergence(q, p)).sum() / 2)
    one_hot = torch.nn.functional.one_hot(ids, 4).float()
    torch.testing.assert_close(AlignLoRA(weight=0.3).penalty({}, z, one_hot), 0.3 * torch.stack(theirs).mean())
    assert AlignLoRA().penalty({}, z[:1], one_hot[:1]) == 0  # of one task there are no pairs


def gradients(model: AdaptedModel) -> list[Tensor]:
    loss = model(tokens(), labels=tokens(), task_ids=IDS).loss
    penalty = model.penalty()
    (loss if penalty is None else loss + penalty).backward()
    return [parameter.grad for parameter in model.adapter_parameters().values()]


def test_it_reaches_the_gradients_of_a_and_is_the_mean_over_layers() -> None:
    light, heavy, plain = (
        gradients(adapted_llama(m).train()) for m in (AlignLoRA(weight=1e-9), AlignLoRA(weight=10), LoRA())
    )
    torch.testing.assert_close(light, plain)
    assert all((g - p).abs().max() > 1e-3 for g, p in zip(heavy[::2], plain[::2], strict=True))  # A of each layer
    model = adapted_llama(AlignLoRA()).train()
    model(tokens(), task_ids=IDS)
    model.penalty()  # of the two passes that prove whose rows are whose nothing is left
    seen: list[Tensor] = []
    for _, layer in model.layers():
        layer.register_forward_hook(lambda layer, x, _: seen.append(layer.factors().down @ x[0].mT))
    model(tokens(), task_ids=IDS)
    one_hot = torch.nn.functional.one_hot(torch.tensor(IDS), 3).float()
    values = [model.method.penalty({}, z.mT, one_hot) for z in seen]
    torch.testing.assert_close(model.penalty(), torch.stack(values).mean())


def test_it_survives_checkpointing_or_is_refused() -> None:
    expected = gradients(adapted_llama(AlignLoRA()).train())
    model = adapted_llama(AlignLoRA()).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradients(model), expected)
    assert model.context.take_penalties() == []
    reentrant = AdaptedModel(tiny_llama(), AlignLoRA(), TASKS, LLAMA_TARGETS).train()
    reentrant.base.enable_input_require_grads()
    reentrant.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(InvalidInput, match="checkpoint activations with use_reentrant=False"):
        gradients(reentrant)


@pytest.mark.slow
def test_runs_add_it_to_their_loss(tiny: Path, tmp_path: Path) -> None:
    methods = "lora,align-lora:weight=1e-15,align-lora:weight=10"
    assert mtl_lora(*run_arguments(tiny, tmp_path, "--methods", methods, "--gradient-checkpointing")) == 0
    store = RunStore(tmp_path)
    runs = {
        record.config.method.settings.get("weight"): load_file(store.trained_path(record.id)) for record in store.finished()
    }
    plain, light, heavy = runs[None], runs[1e-15], runs[10.0]
    for name, tensor in plain.items():
        torch.testing.assert_close(light[name], tensor, rtol=1e-4, atol=1e-6)
    assert max((heavy[name] - tensor).abs().max() for name, tensor in plain.items()) > 1e-4

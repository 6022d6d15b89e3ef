"""HydraLoRA: its formula token by token, and what cannot be done with a method that routes by token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from tiny_cli import mtl_lora
from tiny_models import TASKS, adapted_llama, randomise_adapters, tiny_bert, tokens
from torch import Tensor, nn

from baselines.hydralora import HydraLoRA
from baselines.lora import LoRA
from baselines.peft_format import export_peft
from benchmarks.records.store import RunStore
from benchmarks.suites import find_suite
from mtl_lora import AdaptedModel, Factors, InvalidInput, load_trained, save_trained
from mtl_lora.method import Params, Shapes

METHOD = HydraLoRA(rank=4, alpha=12)
IDS = torch.tensor([0, 1, 2, 0, 1, 2])


def token_by_token(layer: nn.Module, x: Tensor) -> Tensor:
    """W x + b + s * sum_i softmax(R x)_i B_i A x in float64, written out for one token after another."""
    p = {name: tensor.detach().double() for name, tensor in layer.adapter.items()}
    r, s, rows = layer.method.rank, layer.method.alpha / layer.method.rank, []
    for token in x.double().reshape(-1, x.shape[-1]):
        weights = torch.softmax(p["router"] @ token, dim=0)
        heads = [p["B"][:, i * r : i * r + r] for i in range(len(weights))]
        update = sum(weight * head @ p["A"] @ token for weight, head in zip(weights, heads, strict=True))
        rows.append(layer.base.weight.double() @ token + s * update)
    bias = 0 if layer.base.bias is None else layer.base.bias.double()
    return torch.stack(rows).reshape(*x.shape[:-1], -1) + bias


def test_each_token_gets_its_own_mixture_of_up_projections() -> None:
    model = randomise_adapters(AdaptedModel(tiny_bert().double(), METHOD, TASKS, ["query"]))
    (_, layer), x = next(iter(model.layers())), 3 * torch.randn(6, 5, 32, dtype=torch.float64)
    torch.testing.assert_close(layer(x), token_by_token(layer, x), rtol=1e-13, atol=1e-13)
    weights = METHOD.block_weights(layer.adapter, x)
    assert weights.std((0, 1)).min() > 0.05  # tokens do differ in it


@pytest.mark.parametrize("dtype, error", [(torch.bfloat16, 2.5e-3), (torch.float16, 3.5e-4), (torch.float32, 1e-6)])
def test_each_precision_is_as_close_to_the_formula_as_two_roundings(dtype: torch.dtype, error: float) -> None:
    torch.manual_seed(0)
    base = nn.ModuleDict({"layer": nn.Linear(512, 512)}).to(dtype)
    model = AdaptedModel(base, METHOD, TASKS, ["layer"])
    with torch.no_grad():
        for parameter in model.adapter_parameters().values():
            parameter.mul_(1 + 0.02 * torch.randn_like(parameter)).add_(0.005 * torch.randn_like(parameter))
    x = torch.randn(32, 512).to(dtype)
    exact = token_by_token(base["layer"], x)
    assert ((base["layer"](x).double() - exact).square().mean() / exact.square().mean()).sqrt() < error


def test_one_up_projection_is_lora() -> None:
    """A router with one choice gives it all the weight, whatever it holds."""
    hydra, lora = adapted_llama(HydraLoRA(rank=4, up_projections=1)), adapted_llama(LoRA(rank=4))
    with torch.no_grad():
        for name, parameter in lora.adapter_parameters().items():
            parameter.copy_(hydra.adapter_parameters()[name])
    torch.testing.assert_close(hydra(tokens()).logits, lora(tokens()).logits)


def test_parameters_are_those_of_the_papers_tensors() -> None:
    dims, r, n = [(32, 32), (32, 16)], METHOD.rank, METHOD.up_projections
    assert METHOD.count(dims, 8) == sum(r * i + n * r * o + n * i for i, o in dims)


def test_up_projections_part_in_training() -> None:
    model = adapted_llama(METHOD, randomise=False)
    optimizer = torch.optim.AdamW(model.adapter_parameters().values(), lr=1e-2)
    for _ in range(2):
        model(tokens()).logits.logsumexp(-1).mean().backward()
        optimizer.step()
    blocks = next(iter(model.layers()))[1].adapter["B"].unflatten(1, (3, 4))
    assert (blocks[:, 0] - blocks[:, 1]).abs().max() > 1e-4


def test_what_needs_one_update_for_all_tokens_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    model = adapted_llama(METHOD)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for act in (
        lambda: model.merge("a"),
        lambda: model.merge("a", check={"input_ids": tokens()}),
        lambda: model.unload("a"),
        lambda: export_peft(model, "a", tmp_path),
    ):
        with pytest.raises(InvalidInput, match="hydralora weighs its factors anew for each token, so no task of it can be"):
            act()
    assert not list(tmp_path.iterdir()) and model.merged is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    save_trained(model, tmp_path / "a")
    other = adapted_llama(METHOD, seed=5, randomise=False)
    load_trained(other, tmp_path / "a")
    assert torch.equal(other(tokens()).logits, model(tokens()).logits)


@pytest.mark.parametrize("beams", [1, 3])
def test_generating_for_a_mixed_batch_equals_prompt_by_prompt(beams: int) -> None:
    model = adapted_llama(METHOD)
    options = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "pad_token_id": 0}
    mixed = model.generate(tokens(), task_ids=IDS, attention_mask=torch.ones_like(tokens()), **options)
    for prompt, task, generated in zip(tokens(), IDS, mixed, strict=True):
        alone = model.generate(prompt[None], task_ids=[task], attention_mask=torch.ones_like(prompt[None]), **options)[0]
        assert torch.equal(generated[: len(alone)], alone)


@dataclass(frozen=True)
class ExpertsByToken(LoRA):
    """sum_i softmax(R x)_i B_i diag(c_t)_i A_i x: experts with an A each, weighed by token, after a core of the task."""

    name: ClassVar[str] = "experts-by-token"
    routes_by_token: ClassVar[bool] = True

    def shapes(self, d_in: int, d_out: int, num_tasks: int) -> Shapes:
        return {**super().shapes(d_in, d_out, num_tasks), "c": (num_tasks, self.rank), "router": (2, d_in)}

    def factors(self, params: Params) -> Factors:
        return Factors(params["A"], params["c"], params["B"])

    def block_weights(self, params: Params, x: Tensor) -> Tensor:
        return F.linear(x, params["router"].to(x.dtype)).softmax(-1)


def test_blocks_as_many_as_up_projections_read_their_own_and_cores_of_tasks_still_apply() -> None:
    torch.manual_seed(0)
    base = nn.ModuleDict({"layer": nn.Linear(8, 6)}).double()
    layer = AdaptedModel(base, ExpertsByToken(rank=4, alpha=4), TASKS, ["layer"]).base["layer"]
    with torch.no_grad():
        for parameter in layer.adapter.values():
            parameter.normal_()
    a, b, c, router = (layer.adapter[name] for name in ("A", "B", "c", "router"))
    x, expected = torch.randn(3, 8, dtype=torch.float64), []
    for task, token in enumerate(x):
        weights = (router @ token).softmax(0)
        parts = [
            weights[i] * b[:, part] @ (c[task, part] * (a[part] @ token)) for i, part in enumerate((slice(2), slice(2, 4)))
        ]
        expected.append(layer.base(token) + sum(parts))
    layer.context.proven["layer"] = {2: {1}}
    with layer.context([0, 1, 2]):
        torch.testing.assert_close(layer(x), torch.stack(expected), rtol=1e-13, atol=1e-13)


def test_a_run_predicts_unmerged_and_is_neither_exported_nor_diagnosed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cut = ["--epochs", "1", "--batch-size", "16", "--max-train", "12", "--max-eval", "12", "--budget", "54k"]
    run = ["run", "quick", "--tasks", "sense-north,sense-south", "--conflict", "1", "--methods", "hydralora", *cut]
    assert mtl_lora(*run, "--results", tmp_path) == 0
    (record,) = RunStore(tmp_path).finished()
    asked = [record.id, "--task", "sense-south", "--results", tmp_path]
    capsys.readouterr()
    (tmp_path / "lines.txt").write_text("south : the ant is big\n")
    assert mtl_lora("predict", *asked, tmp_path / "lines.txt") == 0
    assert capsys.readouterr().out.strip() in next(t for t in find_suite("quick").tasks if t.name == "sense-south").labels
    for command in (["export", *asked, "--to", tmp_path / "peft"], ["diagnose", record.id, "--results", tmp_path]):
        assert mtl_lora(*command) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "hydralora" in line and ("for each token" in line or "routes by token" in line)
    assert not (tmp_path / "peft").exists() and not (tmp_path / "diagnoses").exists()

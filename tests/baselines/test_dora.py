"""DoRA's magnitude: small changes count in half precision, and row norms are right where an update removes most of W."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import nn

from baselines.dora import DoRA
from mtl_lora import AdaptedModel

WIDTH = 128


def linear(dtype: torch.dtype = torch.bfloat16) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"layer": nn.Linear(WIDTH, WIDTH, bias=False)}).to(dtype)


def ours(base: nn.Module) -> nn.Module:
    return AdaptedModel(base, DoRA(rank=4, alpha=4), ["only"], ["layer"])


def of_peft(base: nn.Module) -> nn.Module:
    return peft.get_peft_model(base, peft.LoraConfig(r=4, lora_alpha=4, target_modules=["layer"], use_dora=True))


def magnitude(model: nn.Module) -> torch.Tensor:
    return next(p for name, p in model.named_parameters() if name.endswith((".m", "magnitude_vector.default.weight")))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("change", [1.001, 0.999, 1.004])
def test_a_magnitude_changed_by_a_thousandth_changes_the_output(dtype: torch.dtype, change: float) -> None:
    model = ours(linear(dtype))
    layer, x = model.base["layer"], torch.randn(512, WIDTH, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        layer.adapter["B"].normal_(
            0, 0.03
        )  # W x alone lies on the grid of its precision, and so small a step never leaves it
        before = layer(x).double()
        magnitude(model).mul_(change)
        after = layer(x).double()
    assert ((after * before).sum() / before.square().sum()).item() == pytest.approx(change, abs=1e-4)


def error_after_training(make) -> float:
    """What is left of row scales of 0.3% that only the magnitude can learn: root mean square, of scales of 3e-3."""
    model = make(linear()).train()
    weight = linear()["layer"].weight.detach().double()
    rng = torch.Generator().manual_seed(1)
    target = 1 + 3e-3 * torch.randn(WIDTH, generator=rng, dtype=torch.float64)
    layer = next(module for name, module in model.named_modules() if name.endswith("layer"))
    optimizer = torch.optim.Adam([magnitude(model)], lr=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=150)
    for _ in range(150):
        x = torch.randn(128, WIDTH, generator=rng).bfloat16()
        loss = (layer(x).double() - x.double() @ weight.T * target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    scales = magnitude(model).detach().double() / weight.norm(dim=1)
    return (scales - target).square().mean().sqrt().item()


def test_row_scales_are_learnt_in_bfloat16_as_well_as_by_peft() -> None:
    error = error_after_training(ours)
    assert error < 1.05 * error_after_training(of_peft) and error < 1.5e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("removed", [0.5, 0.9, 0.99, -3.0])
def test_row_norms_are_right_where_the_update_removes_most_of_w(removed: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    up, down = torch.randn(WIDTH, 4), torch.randn(4, WIDTH)
    base = linear(dtype)
    base["layer"].weight.data = (up @ down + 0.01 * torch.randn(WIDTH, WIDTH)).to(dtype)
    layer = ours(base).base["layer"]
    with torch.no_grad():
        layer.adapter["A"].copy_(down)
        layer.adapter["B"].copy_(-removed * up)
    norms = layer.adapter["m"] / layer.method.output_scale(layer._params(), layer.weight)
    update = layer.adapter["B"].double() @ layer.adapter["A"].double()
    exact = (layer.weight.double() + update).norm(dim=1)
    bound = 5e-7 * ((layer.weight.double().norm(dim=1) + update.norm(dim=1)) / exact).square()
    assert ((norms - exact).abs() / exact <= bound).all()

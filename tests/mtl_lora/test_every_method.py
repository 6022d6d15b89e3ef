"""What must hold for every method."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, method_id, randomise_adapters, tiny_bert, tiny_llama, tokens
from torch import nn

import mtl_lora.layer
import mtl_lora.model
from mtl_lora import AdaptedModel, InvalidInput, Method

IDS = torch.tensor([0, 1, 2, 0, 1, 2])


def test_at_its_start_the_adapted_model_equals_the_base(method: Method) -> None:
    model = adapted_llama(method, randomise=False)
    torch.testing.assert_close(model(tokens(), task_ids=IDS).logits, tiny_llama()(tokens()).logits, rtol=1e-5, atol=1e-6)


def dense_terms(method: Method, layer: nn.Module, model: AdaptedModel, task: int) -> list[torch.Tensor]:
    """s * U C_t D written out from each paper's own formula, in float64; MoELoRA's apart for each expert.

    A method beyond these is what its factors say; that they are its paper's formula, a test of its own shows.
    """
    p = {name: tensor.detach().double() for name, tensor in {**model.shared, **layer.adapter}.items()}
    r, a, b, s = method.rank, p["A"], p["B"], method.alpha / method.rank
    if method.name in ("lora", "dora"):
        return [s * b @ a]
    if method.name == "multilora":
        parts = range(method.modules)
        return [s * sum(torch.diag(p["scale"][:, i]) @ b[:, i * r : i * r + r] @ a[i * r : i * r + r] for i in parts)]
    if method.name == "moelora":
        gate = torch.softmax(p["gate"] @ p["task"][task], dim=0)
        size = r // method.experts
        parts = [slice(i * size, i * size + size) for i in range(method.experts)]
        return [s * g * b[:, part] @ a[part] for g, part in zip(gate, parts, strict=True)]
    if method.name == "lora-per-task":
        own = slice(task * r, task * r + r)
        return [s * b[:, own] @ a[own]]
    if method.name != "mtl-lora":
        down, up = (factor.detach().double() for factor in layer.fold(task))
        return [method.scaling * up @ down]
    mix = torch.softmax(p["w"][task] / method.temperature, dim=0)
    mixed = sum(mix[i] * b[:, i * r : i * r + r] for i in range(method.up_projections))
    return [s * mixed @ p["Lambda"][task] @ a]


def dense_update(method: Method, layer: nn.Module, model: AdaptedModel, task: int) -> torch.Tensor:
    """The whole of :func:`dense_terms`."""
    return sum(dense_terms(method, layer, model, task))


def test_each_layer_computes_its_papers_formula(folding: Method) -> None:
    model = randomise_adapters(AdaptedModel(tiny_bert().double(), folding, TASKS, ["query", "dense"]))
    x = torch.randn(6, 5, 32, dtype=torch.float64)
    _, layer = next(iter(model.layers()))
    model(tokens(), task_ids=IDS)  # from now on it is known that samples come first
    with model.use_tasks(IDS):
        got = layer(x)
    for sample, task in enumerate(IDS.tolist()):
        weight = layer.base.weight + dense_update(folding, layer, model, task)
        if folding.name == "dora":
            weight = weight * (layer.adapter["m"] / weight.norm(dim=1))[:, None]
        torch.testing.assert_close(got[sample], x[sample] @ weight.T + layer.base.bias)


def test_a_mixed_batch_equals_its_tasks_one_by_one(method: Method) -> None:
    model = adapted_llama(method)
    mixed = model(tokens(), task_ids=IDS).logits
    for task in range(3):
        own = model(tokens()[IDS == task], task_ids=IDS[IDS == task]).logits
        torch.testing.assert_close(mixed[IDS == task], own, rtol=1e-4, atol=1e-5)


def test_a_permuted_batch_gives_the_permuted_output(method: Method) -> None:
    model = adapted_llama(method)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = model(tokens()[order], task_ids=IDS[order]).logits
    torch.testing.assert_close(permuted, model(tokens(), task_ids=IDS).logits[order], rtol=1e-4, atol=1e-5)


def test_tasks_differ_exactly_where_the_method_knows_tasks(method: Method) -> None:
    model = adapted_llama(method)
    same = tokens(1).repeat(3, 1)
    outputs = model(same, task_ids=["a", "b", "c"]).logits
    differs = not torch.allclose(outputs[0], outputs[1], atol=1e-3)
    assert differs == (next(model.layers())[1].factors().core is not None)
    assert differs or method.name not in ("moelora", "mtl-lora", "lora-per-task")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype, error", [(torch.bfloat16, 2.5e-3), (torch.float16, 3.5e-4), (torch.float32, 1e-6)])
def test_each_precision_is_as_close_to_the_formula_as_two_roundings(
    folding: Method, dtype: torch.dtype, error: float, bias: bool
) -> None:
    """The root mean square error of a rounding to bfloat16 is 1.66e-3; one more for the sum makes 2.35e-3."""
    torch.manual_seed(0)
    base = nn.ModuleDict({"layer": nn.Linear(512, 512, bias=bias)}).to(dtype)
    model = AdaptedModel(base, folding, TASKS, ["layer"])
    with torch.no_grad():
        for parameter in model.adapter_parameters().values():
            parameter.mul_(1 + 0.02 * torch.randn_like(parameter)).add_(0.005 * torch.randn_like(parameter))
    layer, x = base["layer"], torch.randn(32, 512).to(dtype)
    weight = layer.weight.double() + dense_update(folding, layer, model, 1)
    if folding.name == "dora":
        weight = weight * (layer.adapter["m"].double() / weight.norm(dim=1))[:, None]
    exact = F.linear(x.double(), weight, layer.bias.double() if bias else None)
    with model.use_tasks([1] * 32):
        difference = layer(x).double() - exact
    assert (difference.square().mean() / exact.square().mean()).sqrt() < error


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_outputs_and_gradients_are_finite_in_every_precision(method: Method, dtype: torch.dtype) -> None:
    model = randomise_adapters(AdaptedModel(tiny_llama().to(dtype), method, TASKS, LLAMA_TARGETS))
    for all_in_half in (False, True):  # adapters in float32 as they are made, then as the caller may cast them
        model = model.to(dtype) if all_in_half else model
        logits = model(tokens(), task_ids=IDS).logits
        assert logits.dtype == dtype and logits.isfinite().all()
        logits.float().square().mean().backward()
        assert all(p.grad.isfinite().all() for p in model.adapter_parameters().values())
        model.zero_grad()


def test_adapters_of_a_half_precision_model_are_trained_in_float32(method: Method) -> None:
    model = AdaptedModel(tiny_llama().bfloat16(), method, TASKS, LLAMA_TARGETS)
    assert {p.dtype for p in model.adapter_parameters().values()} == {torch.float32}


@pytest.mark.parametrize("make", [tiny_bert, tiny_llama])
def test_training_leaves_base_weights_and_biases_untouched(method: Method, make) -> None:
    base = make()
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = AdaptedModel(copy.deepcopy(base), method, TASKS, ["all-linear"])
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.1)
    for _ in range(2):
        model(tokens(), task_ids=IDS)[0].square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = {name.replace("base.", ""): t for name, t in model.base.state_dict().items() if ".adapter." not in name}
    assert after.keys() == before.keys()  # no bias appears where there was none
    assert all(torch.equal(after[name], before[name]) for name in before)


CLOSED_FORM = {  # parameters of one layer for T tasks, from facts about the papers' code; d_in i, d_out o, rank r
    "lora": lambda r, i, o, t: r * (i + o),
    "dora": lambda r, i, o, t: r * (i + o) + o,
    "multilora": lambda r, i, o, t: 3 * (r * (i + o) + o),
    "moelora": lambda r, i, o, t: r * (i + o) + (t + 1) * 6 + 6 * 4,
    "moelora-shared": lambda r, i, o, t: r * (i + o),
    "mtl-lora": lambda r, i, o, t: r * i + 3 * r * o + t * r * r + t * 3,
    "lora-per-task": lambda r, i, o, t: t * r * (i + o),
}


def test_counted_equals_formula_equals_the_optimisers_list(method: Method) -> None:
    model = adapted_llama(method)
    dims = [(32, 32), (32, 16), (32, 16), (32, 32)] * 2
    counted = method.count(dims, len(TASKS))
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    assert model.count() == counted == sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    if method_id(method) in CLOSED_FORM:
        shared = ((len(TASKS) + 1) * 6 + 6 * 4) * (method_id(method) == "moelora-shared")
        assert counted == shared + sum(CLOSED_FORM[method_id(method)](4, i, o, len(TASKS)) for i, o in dims)


def test_every_adapter_tensor_is_trained(method: Method) -> None:
    model = adapted_llama(method)
    model(tokens(), task_ids=IDS).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.adapter_parameters().values())


def test_one_step_of_six_samples_equals_six_accumulated_steps_of_one(method: Method) -> None:
    whole, split = adapted_llama(method), adapted_llama(method)
    whole(tokens(), task_ids=IDS).logits.square().mean().backward()
    for sample, task in zip(tokens(), IDS, strict=True):
        (split(sample[None], task_ids=task[None]).logits.square().mean() / 6).backward()
    for (name, p), q in zip(whole.adapter_parameters().items(), split.adapter_parameters().values(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6, msg=name)


def checkpointed(method: Method, enable: str, reentrant: bool, before: bool) -> AdaptedModel:
    """The tiny LLaMA with gradient checkpointing, enabled by this name before it was adapted or after."""
    base = tiny_llama()
    if before:
        getattr(base, enable)({"use_reentrant": reentrant})
    model = randomise_adapters(AdaptedModel(base, method, TASKS, LLAMA_TARGETS))
    if not before:
        getattr(model, enable)({"use_reentrant": reentrant})
    return model.train()


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable")
@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
@pytest.mark.parametrize("enable", ["activation_checkpointing_enable", "gradient_checkpointing_enable"])
def test_each_recomputation_gets_the_tasks_of_its_own_pass(
    method: Method, enable: str, reentrant: bool, before: bool
) -> None:
    """Two forward passes of other tasks before one backward, which other tasks surround too, and generation in between."""
    gradients = []
    for model in (adapted_llama(method).train(), checkpointed(method, enable, reentrant, before)):
        losses = [model(tokens(seed=i), task_ids=IDS.roll(i)).logits.square().mean() for i in range(2)]
        model.generate(tokens(2), task_ids=[2, 2], max_new_tokens=1, pad_token_id=0)
        with model.use_tasks([1] * 6):
            sum(losses).backward()
        gradients.append({name: p.grad for name, p in model.adapter_parameters().items()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_a_checkpoint_past_the_adapted_model_is_right_or_refused(method: Method, reentrant: bool) -> None:
    plain, model = adapted_llama(method).train(), adapted_llama(method).train()
    model.base.activation_checkpointing_enable({"use_reentrant": reentrant})
    losses = [m(tokens(), task_ids=IDS).logits.square().mean() for m in (plain, model)]
    losses[0].backward()
    if next(model.layers())[1].factors().core is None and not method.penalises:
        losses[1].backward()
        for (name, p), q in zip(plain.adapter_parameters().items(), model.adapter_parameters().values(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, msg=name)
        return
    with (
        model.use_tasks(IDS),
        pytest.raises(InvalidInput, match="of the adapted model"),
    ):
        losses[1].backward()


def test_autocast_stays_close_to_float32(method: Method) -> None:
    model = AdaptedModel(tiny_llama(), method, TASKS, LLAMA_TARGETS)
    with torch.no_grad():
        for parameter in model.adapter_parameters().values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    wide = model(tokens(), task_ids=IDS).logits
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model(tokens(), task_ids=IDS).logits
    torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=0.02)


def test_dropout_acts_on_the_low_rank_branch_in_training_alone(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    dropping = dataclasses.replace(method, dropout=0.5)
    model = randomise_adapters(AdaptedModel(tiny_bert().double(), dropping, TASKS, ["query"]))
    _, layer = next(iter(model.layers()))
    x = torch.randn(6, 5, 32, dtype=torch.float64)
    model.train()(tokens(), task_ids=IDS)  # from now on it is known that samples come first
    with model.use_tasks(IDS):
        assert torch.equal(layer.eval()(x), layer(x))
        layer.train()
        mean = torch.stack([layer(x) for _ in range(4000)]).mean(0)
        assert not torch.equal(layer(x), layer(x))
        torch.testing.assert_close(mean, layer.eval()(x), rtol=0.1, atol=0.15 * method.scaling)
        kind, factors = type(method), type(method).factors
        monkeypatch.setattr(kind, "factors", lambda *of: factors(*of)._replace(up=torch.zeros_like(factors(*of).up)))
        assert torch.equal(layer.train()(x), layer(x))  # W x itself is never dropped


def test_dropout_draws_a_mask_for_each_expert_and_one_for_all_else(folding: Method) -> None:
    """The variance over masks: independent ones add squares, term by term; one for all terms squares their sum."""
    dropping, task, samples = dataclasses.replace(folding, dropout=0.5), 1, 4000
    model = randomise_adapters(AdaptedModel(tiny_bert().double(), dropping, TASKS, ["query"])).train()
    _, layer = next(iter(model.layers()))
    x = torch.randn(32, dtype=torch.float64)
    with torch.no_grad(), model.use_tasks([task] * samples):
        drawn = layer(x.expand(samples, 32)).var(0)
    variance = sum(term.square() for term in dense_terms(folding, layer, model, task)) @ x.square()  # p / (1 - p) is 1
    if folding.name == "dora":
        norms = (layer.weight + dense_update(folding, layer, model, task)).norm(dim=1)
        variance = variance * (layer.adapter["m"].detach() / norms.detach()).square()
    torch.testing.assert_close(drawn, variance, rtol=0.15, atol=0)


def test_the_start_depends_on_the_seed_alone(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """And on no seed where a method draws nothing for it."""
    drawn: list[tuple] = []
    monkeypatch.setattr(mtl_lora.layer, "generator", lambda *of: drawn.append(of) or mtl_lora.model.generator(*of))
    torch.manual_seed(1)
    one = adapted_llama(method, randomise=False).adapter_parameters()
    torch.manual_seed(2)
    same = adapted_llama(method, randomise=False).adapter_parameters()
    other = adapted_llama(method, seed=1, randomise=False).adapter_parameters()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one) == bool(drawn)


def test_a_model_on_the_meta_device_can_be_adapted_and_counted(method: Method) -> None:
    with torch.device("meta"):
        base = tiny_llama()
    assert AdaptedModel(base, method, TASKS, LLAMA_TARGETS).count() == adapted_llama(method).count()

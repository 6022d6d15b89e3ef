"""Numbers from elsewhere: PEFT, methods that coincide, published parameter counts."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, tiny_bert, tiny_llama, tokens
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5EncoderModel,
)

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.moelora import MoELoRA
from baselines.multilora import MultiLoRA
from mtl_lora import (
    AdaptedModel,
    InvalidInput,
    Method,
    MTLLoRA,
    find_method,
    fit_rank,
    load_trained,
    parse_budget,
    save_trained,
    target_dims,
)
from mtl_lora.targets import ALL_LINEAR


@pytest.mark.parametrize("make, targets", [(tiny_llama, LLAMA_TARGETS), (tiny_bert, ["query", "value", "dense"])])
@pytest.mark.parametrize("method", [LoRA(rank=4, alpha=8), DoRA(rank=4, alpha=8)], ids=lambda m: m.name)
def test_outputs_and_gradients_equal_those_of_peft(method: Method, make, targets: list[str]) -> None:
    ours = AdaptedModel(make(), method, TASKS, targets)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in ours.adapter_parameters().values():
            parameter.add_(0.1 * torch.rand_like(parameter))
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, use_dora=method.name == "dora", lora_dropout=0.0, init_lora_weights=True
    )
    theirs = peft.get_peft_model(make(), config)
    state, names = theirs.state_dict(), {"A": "lora_A.default", "B": "lora_B.default", "m": "lora_magnitude_vector.default"}
    pairs = {}
    for name, layer in ours.layers():
        for tensor, parameter in layer.adapter.items():
            theirs_name = f"base_model.model.{name}.{names[tensor]}.weight"
            state[theirs_name].copy_(parameter.data)
            pairs[theirs_name] = parameter
    ours_out, theirs_out = ours(tokens())[0], theirs(tokens())[0]
    torch.testing.assert_close(ours_out, theirs_out, rtol=1e-5, atol=1e-5)
    ours_out.square().mean().backward()
    theirs_out.square().mean().backward()
    theirs_parameters = dict(theirs.named_parameters())
    assert pairs.keys() == {name for name, p in theirs_parameters.items() if p.requires_grad}
    for name, parameter in pairs.items():
        torch.testing.assert_close(parameter.grad, theirs_parameters[name].grad, rtol=1e-4, atol=1e-6, msg=name)


def test_lora_starts_from_the_distribution_of_peft() -> None:
    a = next(iter(adapted_llama(LoRA(rank=4, alpha=8), randomise=False).layers()))[1].adapter["A"]
    theirs = peft.get_peft_model(tiny_llama(), peft.LoraConfig(r=4, target_modules=LLAMA_TARGETS))
    b = next(p for name, p in theirs.named_parameters() if "lora_A" in name)
    assert a.shape == b.shape and a.abs().max() <= 32**-0.5 and b.abs().max() <= 32**-0.5
    assert a.std().item() == pytest.approx(b.std().item(), rel=0.2)


def loss_path(method: Method, fixed: dict[str, torch.Tensor], start: dict[str, torch.Tensor] | None = None) -> list[float]:
    """Losses of five AdamW steps on one task with tensors held at ``fixed`` values and B started at zero."""
    model = adapted_llama(method, tasks=["only"], randomise=False)
    for _, layer in model.layers():
        for name, value in {**fixed, **(start or {})}.items():
            layer.adapter[name].data = value.expand_as(layer.adapter[name]).clone()
            layer.adapter[name].requires_grad_(name not in fixed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for step in range(5):
        batch = tokens(seed=step)
        loss = model(batch, labels=batch, task_ids=torch.zeros(6, dtype=torch.long)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def lora_path() -> list[float]:
    losses = loss_path(LoRA(rank=4, alpha=8), {})
    assert losses[-1] != pytest.approx(losses[0], rel=1e-3)
    return losses


def test_mtl_lora_of_one_task_and_one_b_is_lora(lora_path: list[float]) -> None:
    method = MTLLoRA(rank=4, alpha=8, up_projections=1)
    assert loss_path(method, {"Lambda": torch.eye(4)}) == pytest.approx(lora_path, rel=1e-6)


def test_multilora_of_one_module_with_scale_one_is_lora(lora_path: list[float]) -> None:
    method = MultiLoRA(rank=4, alpha=8, modules=1)
    path = loss_path(method, {"scale": torch.ones(1, 1)}, start={"B": torch.zeros(1, 1)})
    assert path == pytest.approx(lora_path, rel=1e-6)


def test_moelora_of_one_expert_is_lora() -> None:
    moelora, lora = adapted_llama(MoELoRA(rank=4, alpha=8, experts=1)), adapted_llama(LoRA(rank=4, alpha=8))
    for (_, one), (_, other) in zip(moelora.layers(), lora.layers(), strict=True):
        for name in ("A", "B"):
            other.adapter[name].data.copy_(one.adapter[name])
    ids = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(moelora(tokens(), task_ids=ids).logits, lora(tokens()).logits)


def test_the_up_projections_of_mtl_lora_part_in_training() -> None:
    model = adapted_llama(MTLLoRA(rank=4, alpha=8), randomise=False)
    optimizer = torch.optim.AdamW(model.adapter_parameters().values(), lr=0.01)
    for step in range(5):
        batch = tokens(seed=step)
        model(batch, labels=batch, task_ids=torch.tensor([0, 1, 2, 0, 1, 2])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, layer in model.layers():
        blocks = layer.adapter["B"].unflatten(1, (3, 4)).unbind(1)
        assert min((blocks[i] - blocks[j]).abs().max() for i, j in [(0, 1), (0, 2), (1, 2)]) > 1e-3, name


@pytest.fixture(scope="module")
def llama2_7b() -> LlamaForCausalLM:
    with torch.device("meta"):
        return LlamaForCausalLM(
            LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
        )


LLAMA2_7B_RANK_8 = {  # 32 layers, q, k, v, o, eight tasks: counted on the classes of the papers' repositories
    "lora": 8_388_608,
    "dora": 8_912_896,
    "mtl-lora": 16_845_824,
    "multilora": 26_738_688,
    "moelora": 8_527_872,
}


@pytest.mark.parametrize("name, known", LLAMA2_7B_RANK_8.items())
def test_parameter_counts_on_llama2_7b(llama2_7b: LlamaForCausalLM, name: str, known: int) -> None:
    assert sum(p.numel() for p in llama2_7b.parameters()) == 6_738_415_616
    dims = target_dims(llama2_7b, LLAMA_TARGETS)
    assert find_method(name)(rank=8).count(dims, 8) == known


def test_moelora_with_a_shared_gate_counts_it_once(llama2_7b: LlamaForCausalLM) -> None:
    assert MoELoRA(rank=8, gate="shared").count(target_dims(llama2_7b, LLAMA_TARGETS), 8) == 8_389_696


@pytest.mark.parametrize(
    "name, rank, known", [("lora", 16, 16_777_216), ("multilora", 5, 17_301_504), ("mtl-lora", 8, 16_845_824)]
)
def test_the_solver_finds_the_known_equal_budget_set(llama2_7b: LlamaForCausalLM, name: str, rank: int, known: int) -> None:
    fit = fit_rank(find_method(name), target_dims(llama2_7b, LLAMA_TARGETS), 8, parse_budget("0.25%", 6_738_415_616))
    assert (fit.method.rank, fit.parameters) == (rank, known)
    assert fit.method.alpha == 2 * rank
    assert fit.mismatch == pytest.approx(known / 16_846_039 - 1)


def test_the_solver_takes_the_closest_rank_of_all() -> None:
    dims = [(32, 32)] * 4
    for budget in range(900, 4000, 37):
        counts = {rank: LoRA(rank=rank).count(dims, 1) for rank in range(1, 33)}
        closest = min(abs(count - budget) for count in counts.values())
        if closest <= 0.1 * budget:
            assert abs(fit_rank(LoRA, dims, 1, budget).parameters - budget) == closest


def test_a_budget_that_no_rank_meets_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no rank of lora meets a budget of 90 parameters within 10%; closest: 64"):
        fit_rank(LoRA, [(32, 32)], 1, 90)


@pytest.mark.parametrize("text, parameters", [("73728", 73728), ("1.5M", 1_500_000), ("200k", 200_000), ("0.25%", 2_500)])
def test_budgets_are_read_as_numbers_or_percentages(text: str, parameters: int) -> None:
    assert parse_budget(text, 1_000_000) == parameters


def test_all_linear_adapts_every_linear_layer_but_the_output_embedding() -> None:
    model = AdaptedModel(tiny_llama(), LoRA(rank=2), TASKS, [ALL_LINEAR])
    assert len(list(model.layers())) == 2 * 7
    assert type(model.base.lm_head) is torch.nn.Linear


def test_one_target_may_be_given_as_a_string() -> None:
    for target, layers in ((ALL_LINEAR, 2 * 7), ("q_proj", 2)):
        assert len(list(AdaptedModel(tiny_llama(), LoRA(rank=2), TASKS, target).layers())) == layers


def test_all_linear_leaves_a_head_alone_and_its_file_loads_again(tmp_path) -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    base = BertForSequenceClassification(config)
    model = AdaptedModel(copy.deepcopy(base), LoRA(rank=2), TASKS, [ALL_LINEAR])
    assert all(name.startswith("bert.") for name, _ in model.layers())
    model.base.classifier.requires_grad_(True)
    with torch.no_grad():
        model.base.classifier.weight.add_(1)
    save_trained(model, tmp_path / "a")
    again = AdaptedModel(base, LoRA(rank=2), TASKS, [ALL_LINEAR])
    again.base.classifier.requires_grad_(True)
    load_trained(again, tmp_path / "a")
    assert torch.equal(again.base.classifier.weight, model.base.classifier.weight)


def test_models_that_read_the_weight_of_a_layer_can_be_adapted() -> None:
    torch.manual_seed(0)
    config = T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4)
    base = T5EncoderModel(config).eval()
    expected = base(tokens())[0]
    model = AdaptedModel(base, MTLLoRA(rank=2), TASKS, ["q", "v", "wo"])
    torch.testing.assert_close(model(tokens(), task_ids=[0, 1, 2, 0, 1, 2])[0], expected)

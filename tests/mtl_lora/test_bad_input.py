"""Bad input to the core: one clear line that says what was wrong and what is allowed."""

from __future__ import annotations

import pytest
import torch
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, tiny_llama, tokens

from baselines.lora import LoRA
from baselines.moelora import MoELoRA
from mtl_lora import METHODS, AdaptedModel, InvalidInput, MTLLoRA, find_method, parse_budget


def refused(pattern: str):
    return pytest.raises(InvalidInput, match=pattern)


def test_missing_task_ids() -> None:
    with refused("the task of each sample is missing: pass task_ids; the tasks are 0 a, 1 b, 2 c"):
        adapted_llama(MTLLoRA(rank=4))(tokens())


def test_missing_task_ids_after_a_pass_that_had_them() -> None:
    model = adapted_llama(MTLLoRA(rank=4))
    model(tokens(), task_ids=["a"] * 6)
    with refused("the task of each sample is missing"):
        model(tokens())


@pytest.mark.parametrize("method", [MTLLoRA(rank=4), LoRA(rank=4)], ids=lambda m: m.name)
@pytest.mark.parametrize("wrong", [3, -1])
def test_a_task_id_out_of_range(method, wrong: int) -> None:
    with refused(f"task id {wrong} is out of range; the tasks are 0 a, 1 b, 2 c"):
        adapted_llama(method)(tokens(), task_ids=torch.tensor([0, 1, 2, 0, 1, wrong]))


@pytest.mark.parametrize("method", [MTLLoRA(rank=4), LoRA(rank=4)], ids=lambda m: m.name)
@pytest.mark.parametrize("wrong", [0, "a", True, 1.0, [0.5] * 6, [True] * 6, [None] * 6, torch.tensor(0)])
def test_task_ids_of_another_type(method, wrong: object) -> None:
    model, expected = adapted_llama(method), "task ids must be a LongTensor or a list of ids or names, one per sample, not"
    with refused(expected):
        model(tokens(), task_ids=wrong)
    with refused(expected):
        model.use_tasks(wrong)


def test_task_ids_of_numpy_are_taken() -> None:
    model = adapted_llama(MTLLoRA(rank=4))
    ids = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.equal(model(tokens(), task_ids=ids.numpy()).logits, model(tokens(), task_ids=ids).logits)


def test_an_unknown_task_name() -> None:
    with refused("unknown task 'd'; known: a, b, c"):
        adapted_llama(MTLLoRA(rank=4))(tokens(), task_ids=["a", "b", "c", "a", "b", "d"])


@pytest.mark.parametrize("count", [2, 5])
def test_a_wrong_number_of_task_ids(count: int) -> None:
    with refused(f"{count} task ids do not fit a batch of 6: give one id per sample"):
        adapted_llama(MTLLoRA(rank=4))(tokens(), task_ids=torch.zeros(count, dtype=torch.long))


def test_a_wrong_number_of_task_ids_in_generation() -> None:
    with refused("2 task ids do not fit a batch of 6: give one id per sample"):
        adapted_llama(MTLLoRA(rank=4)).generate(tokens(), task_ids=[0, 1])


@pytest.mark.parametrize("method", [MTLLoRA(rank=4), LoRA(rank=4)], ids=lambda m: m.name)
def test_merging_a_task_that_is_not_there_changes_nothing(method) -> None:
    model = adapted_llama(method)
    before = model(tokens(), task_ids=["c"] * 6).logits
    for wrong in (5, -1, "d"):
        with refused("out of range|unknown task"):
            model.merge(wrong)
    assert torch.equal(model(tokens(), task_ids=["c"] * 6).logits, before)


def test_a_layer_that_shares_its_weight() -> None:
    model = tiny_llama()
    model.lm_head.weight = model.model.embed_tokens.weight
    with refused(r"target module lm_head shares its weight \(model.embed_tokens.weight, lm_head.weight\)"):
        AdaptedModel(model, LoRA(rank=4), TASKS, ["lm_head"])


def test_layers_that_torch_reads_past() -> None:
    with refused("self_attn.out_proj is a NonDynamicallyQuantizableLinear"):
        AdaptedModel(torch.nn.TransformerEncoderLayer(32, 4), LoRA(rank=4), TASKS, ["out_proj"])
    read = "what TransformerEncoderLayer reads without calling it: linear1, linear2, self_attn.out_proj"
    with refused(rf"TransformerEncoderLayer has no linear layer that can be adapted \(all-linear leaves out {read}\)"):
        AdaptedModel(torch.nn.TransformerEncoderLayer(32, 4), LoRA(rank=4), TASKS, ["all-linear"])


def test_task_ids_that_are_no_long_tensor() -> None:
    with refused("task ids must be a LongTensor .*, one per sample, not torch.float32"):
        adapted_llama(MTLLoRA(rank=4))(tokens(), task_ids=torch.zeros(6))


def test_an_unknown_target_module() -> None:
    with refused("target module 'query' is not in LlamaForCausalLM; its linear layers: .*q_proj.* \\(or all-linear\\)"):
        AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, ["query"])


@pytest.mark.parametrize("targets", [None, 3, [3], [["q_proj"]], {"q_proj": 1}, [""]])
def test_targets_of_another_type(targets: object) -> None:
    with refused("targets must be a list of module names or all-linear, not"):
        AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, targets)


def test_a_refused_call_leaves_the_base_as_it_was() -> None:
    base = tiny_llama()
    for method, tasks, targets in (
        (LoRA(rank=4), "abc", LLAMA_TARGETS),
        (LoRA(rank=4), TASKS, ["q_proj", "query"]),
        (LoRA, TASKS, LLAMA_TARGETS),
        ("lora", TASKS, LLAMA_TARGETS),
    ):
        with refused("task names|target module|method must be"):
            AdaptedModel(base, method, tasks, targets)
    assert all(p.requires_grad for p in base.parameters())
    assert base.state_dict().keys() == tiny_llama().state_dict().keys()


def test_a_linear_layer_that_computes_something_else() -> None:
    class Scaled(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    base = torch.nn.ModuleDict({"q": Scaled(8, 8)})
    with refused("target module 'q': q is a Scaled; adapted are torch.nn.Linear and Conv1D"):
        AdaptedModel(base, LoRA(rank=4), TASKS, ["q"])


def test_a_target_that_is_no_linear_layer() -> None:
    with refused("target module 'mlp': model.layers.0.mlp is a LlamaMLP; adapted are torch.nn.Linear and Conv1D"):
        AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, ["mlp"])


def test_adapting_twice() -> None:
    model = adapted_llama(LoRA(rank=4))
    with refused("the model is adapted already: load the base model again"):
        AdaptedModel(model.base, LoRA(rank=4), TASKS, LLAMA_TARGETS)


def test_tasks_that_repeat_or_lack() -> None:
    for tasks in ([], ["a", "a"], "abc", [0, 1], None, 3):
        with refused("task names must be a list of strings that differ from each other, not"):
            AdaptedModel(tiny_llama(), LoRA(rank=4), tasks, LLAMA_TARGETS)


def test_settings_out_of_range() -> None:
    with refused("lora: rank must be a whole number of at least 1, not 0"):
        LoRA(rank=0)
    with refused("moelora: rank must be a multiple of 8, not 12"):
        MoELoRA(rank=12)
    with refused("unknown moelora gate 'token'; known: layer, shared"):
        MoELoRA(gate="token")
    for wrong in (0, -1.0, float("nan"), float("inf"), "0.1", True, None):
        with refused(f"mtl-lora: temperature must be a number above 0, not {wrong!r}"):
            MTLLoRA(temperature=wrong)
        with refused(f"lora: alpha must be a number above 0, not {wrong!r}"):
            LoRA(alpha=wrong)
    for wrong in (True, 4.0, "4", None, -1):
        with refused(f"lora: rank must be a whole number of at least 1, not {wrong!r}"):
            LoRA(rank=wrong)
    for wrong in (-0.1, float("nan"), "0.1", None):
        with refused(rf"lora: dropout must be in \[0, 1\), not {wrong!r}"):
            LoRA(dropout=wrong)
    with refused(r"lora: dropout must be in \[0, 1\), not 1"):
        LoRA(dropout=1)


def test_an_unknown_method() -> None:
    with refused(f"unknown method 'qlora'; known: {', '.join(sorted(METHODS))}"):
        find_method("qlora")


@pytest.mark.parametrize("text", ["", "many", "-3", "0", "1e999", "nan", "%", "\uff11\uff10\uff10k", "inf", "-0"])
def test_a_budget_that_is_no_number(text: str) -> None:
    with refused("is neither a number of parameters .* nor a percentage"):
        parse_budget(text, 1_000_000)

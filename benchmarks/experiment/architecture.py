"""How a backbone of one's own is read where no option says it: pooling and targets by its architecture."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from benchmarks.records.recipe import Backbone
from mtl_lora.targets import ALL_LINEAR

ATTENTION = (  # its projections, by the names that families of models give them; BERT's "dense" are the layers behind too
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # LLaMA, Mistral, Qwen, Gemma
    ("q_proj", "k_proj", "v_proj", "out_proj"),  # OPT, BART
    ("query", "key", "value", "dense"),  # BERT, RoBERTa, ELECTRA
    ("value_proj", "dense"),  # DeBERTa, whose other two read relative positions besides the samples
    ("q_lin", "k_lin", "v_lin", "out_lin"),  # DistilBERT
    ("q", "k", "v", "o"),  # T5
    ("query_key_value", "dense"),  # GPT-NeoX, BLOOM, Falcon
    ("qkv_proj", "o_proj"),  # Phi-3
    ("Wqkv", "Wo"),  # ModernBERT
    ("c_attn", "c_proj"),  # GPT-2
)


def pooling_of(model: PreTrainedModel) -> str:
    """How a sentence vector is read: the mean over tokens of an encoder, the last token of a language model."""
    encoder = model.config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not model.config.is_encoder_decoder
    return "mean" if encoder else "last"


def targets_of(model: PreTrainedModel, like: Backbone) -> tuple[str, ...]:
    """Which modules are adapted: those of ``like`` where the model is read as that one and has them all, otherwise the
    projections of its attention, or all linear layers where it names them as no family does."""
    names = {path.rpartition(".")[2] for path, _ in model.named_modules()}
    known = [like.targets] if like.pooling == pooling_of(model) else []
    return next((targets for targets in [*known, *ATTENTION] if names.issuperset(targets)), (ALL_LINEAR,))

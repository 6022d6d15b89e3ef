"""Frozen weights in fewer bits, by torchao: which models are held so, and how one is brought to it when it is loaded."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, TorchAoConfig

from mtl_lora.errors import InvalidInput

GROUP = 32  # inputs of a layer whose weights of 4 bits have a scale in common


def refuse_unknown_kind(model: str, config: PretrainedConfig) -> None:
    """InvalidInput where a model was saved quantised by another library than torchao, whose layers are not adapted."""
    held = getattr(config, "quantization_config", None)
    kind = None if held is None else str(held.get("quant_method") or "an unnamed library")
    if kind not in (None, "torchao"):
        raise InvalidInput(
            f"model {model} is quantised by {kind}; adapted are weights that torchao has quantised: give the model that it "
            "was made of, with --quantise int8 or int4"
        )


def is_quantised(config: PretrainedConfig) -> bool:
    """Whether a model was saved with quantised weights."""
    return getattr(config, "quantization_config", None) is not None


def refuse_other_groups(model: PreTrainedModel) -> None:
    """InvalidInput where the inputs of a layer do not fall into groups."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings() and layer.in_features % GROUP:
            raise InvalidInput(f"int4 has a scale for {GROUP} inputs: {name} has {layer.in_features}; int8 takes any number")


def torchao_config(bits: str) -> TorchAoConfig:
    """What transformers quantises linear weights by while it loads them; the output embedding stays as it is.

    bits: "int8", with a scale for each output of a layer; or "int4", with one for each output and GROUP inputs.
    torchao holds both in a byte a weight: 4 bits save no memory against 8.

    Raises:
        InvalidInput: torchao is not installed.
    """
    try:
        from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup
    except ImportError as error:
        raise InvalidInput("--quantise needs torchao: pip install 'mtl-lora[quantised]'") from error
    four = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP))  # type: ignore[attr-defined]
    return TorchAoConfig(Int8WeightOnlyConfig() if bits == "int8" else four)

"""Small models, and the methods that every behaviour is tested for."""

from __future__ import annotations

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

import baselines  # noqa: F401  (registers the methods)
from mtl_lora import METHODS, AdaptedModel, Method

TASKS = ["a", "b", "c"]
ALL_METHODS = [  # every registered one that has adapters, with each of the small settings it gives
    kind(rank=4, alpha=8, **settings) for kind in METHODS.values() if kind().shapes(1, 1, 1) for settings in kind.small
]


def method_id(method: Method) -> str:
    """Its name, and what sets it apart from its first small settings."""
    first = type(method)(rank=method.rank, alpha=method.alpha, **type(method).small[0])
    return "-".join([method.name, *(str(value) for name, value in vars(method).items() if value != vars(first)[name])])


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """A causal model without biases in its linear layers."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


def tiny_bert(seed: int = 0) -> BertModel:
    """An encoder with biases, random ones, in its linear layers."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_dropout_prob=0.0,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.bias, std=0.1)
    return model


LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def adapted_llama(method: Method, tasks: list[str] = TASKS, seed: int = 0, randomise: bool = True) -> AdaptedModel:
    """The tiny LLaMA, adapted; with random adapters unless it shall stand at its start."""
    model = AdaptedModel(tiny_llama(), method, tasks, LLAMA_TARGETS, seed=seed)
    return randomise_adapters(model) if randomise else model


def randomise_adapters(model: AdaptedModel) -> AdaptedModel:
    """Move every adapter tensor away from its start, so that tasks and terms differ visibly."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.adapter_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(samples: int = 6, length: int = 5, seed: int = 1) -> torch.Tensor:
    """Random token ids (samples, length)."""
    return torch.randint(3, 50, (samples, length), generator=torch.Generator().manual_seed(seed))

"""Text that a language model writes greedily, and whether its scores were numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor

from mtl_lora import AdaptedModel


def write_greedily(model: AdaptedModel, new_tokens: int, end: int | list[int], filler: int) -> None:
    """Have ``generate`` write the likeliest words up to ``end``, whatever else the model's own settings say."""
    start = getattr(model.config, "decoder_start_token_id", None)
    tokens = {"eos_token_id": end, "pad_token_id": filler, "decoder_start_token_id": start}
    model.base.generation_config = GenerationConfig(max_new_tokens=new_tokens, do_sample=False, use_cache=True, **tokens)


def generated(model: AdaptedModel, inputs: dict[str, Tensor], prefix: int) -> Tensor:
    """What ``generate`` writes after the ``prefix`` tokens that it gives back, padded to (b, new tokens).

    nan in rows where a word was chosen by scores that are no numbers.
    """
    noted = _Broken()
    made, config = model.generate(**inputs, logits_processor=[noted])[:, prefix:], model.base.generation_config
    assert noted.rows is not None
    padded = F.pad(made, (0, config.max_new_tokens - made.shape[1]), value=config.pad_token_id)
    return torch.where(noted.rows[:, None], torch.nan, padded.float())


class _Broken(LogitsProcessor):
    """Notes the rows (b,) whose scores are nan somewhere, of which ``generate`` would make words all the same."""

    rows: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        broken = scores.isnan().any(1)
        self.rows = broken if self.rows is None else self.rows | broken
        return scores

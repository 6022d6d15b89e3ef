"""Language models of text, causal or encoder-decoder: how they learn, score and write, and how a prompt reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import DERIVED, AnswerMode, Batch, TaskModel, by_sample, likeliest
from benchmarks.answering.collation import collate_labelled, collate_options
from benchmarks.answering.greedy import generated, write_greedily
from benchmarks.answering.log_likelihood import IGNORED, answer_loss, score_continuations, shifted_right
from benchmarks.records.config import LATER
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel


class LanguageModel(TaskModel):
    """Adapted language model; nothing else is trained."""

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], new_tokens: int = 0, end: int = -1) -> None:
        """end: as in :class:`benchmarks.answering.responses.Generation`."""
        super().__init__(backbone, tasks)
        if new_tokens:
            own = backbone.base.generation_config
            end = own.eos_token_id if end == -1 else end
            ends = end if isinstance(end, list) else [end]
            write_greedily(backbone, new_tokens, end, ends[0] if own.pad_token_id is None else own.pad_token_id)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        task_ids: Tensor,
        labels: Tensor | None = None,
        continuations: Tensor | None = None,
        scored: Tensor | None = None,
        options: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """input_ids, attention_mask (b, s); task_ids (b,).

        With labels, IGNORED where no loss is taken: "loss", the mean over samples of each one's mean over tokens. Those of a
        causal model (b, s) are of the places of input_ids, those of an encoder-decoder (b, a) the answers.
        With continuations and scored (rows, a) and options (b,), as :func:`score_continuations` reads them:
        "predictions" (b,), the place of the likeliest option, by log-likelihood, divided by lengths (rows,) if given.
        With neither, prompts padded on the side that is not read on from: "predictions" (b, new tokens), generated greedily.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "task_ids": task_ids}
        causal = not self.backbone.config.is_encoder_decoder
        if labels is not None:
            if causal:
                labels = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
            else:
                inputs["decoder_input_ids"] = shifted_right(self.backbone, labels)
            return {"loss": answer_loss(self.backbone, labels, **inputs)}
        if continuations is not None:
            assert scored is not None and options is not None
            scores = score_continuations(
                self.backbone, **inputs, continuations=continuations, scored=scored, options=options
            )
            scores = scores if lengths is None else scores / lengths
            return {"predictions": likeliest(by_sample(scores, options))}
        return {"predictions": generated(self.backbone, inputs, input_ids.shape[1] if causal else 1)}


@dataclass(frozen=True)
class TextMode(AnswerMode):
    """Answers in text by a language model.

    encoder_decoder: whether that is one, whose encoder reads the prompt and whose decoder the answer. It follows from the
    backbone, and nobody sets it.
    """

    encoder_decoder: bool = field(default=False, kw_only=True, metadata=LATER | DERIVED)

    language: ClassVar[bool] = True

    def prompt_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Tokens of a prompt that a response follows: whole texts for an encoder, for a causal model without their end."""
        if self.encoder_decoder:
            return list(tokenizer(text)["input_ids"])
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        return start + tokenizer(text, add_special_tokens=False)["input_ids"]

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        if rows[0].get("labels") is not None:
            return collate_labelled(rows, tokenizer)
        return collate_options(rows, tokenizer, left=not self.encoder_decoder)

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> LanguageModel:
        return LanguageModel(backbone, tasks)

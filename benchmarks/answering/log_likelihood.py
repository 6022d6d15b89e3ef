"""Losses and log-likelihoods of text by a language model: logits where they are read alone, and a prompt read once for all
that may follow it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutput

from mtl_lora import AdaptedModel

IGNORED = -100  # label of a token that no loss is taken on
ROWS_AT_ONCE = 32  # prompts, or continuations, of like length that are read together where options are scored


def answer_loss(model: AdaptedModel, labels: Tensor, **inputs: Any) -> Tensor:
    """The mean over samples of each one's mean cross entropy over tokens.

    Args:
        model: With the output of a language model.
        labels: (rows, s): what follows each place that the model's output has, IGNORED where no loss is taken.
        **inputs: Of the model.
    """
    wanted = labels != IGNORED
    logits = logits_at(model, wanted, **inputs)
    losses = torch.zeros(labels.shape, device=logits.device)
    losses[wanted] = F.cross_entropy(logits.float(), labels[wanted], reduction="none")
    return (losses.sum(1) / wanted.sum(1).clamp(min=1)).mean()


def shifted_right(model: AdaptedModel, answers: Tensor) -> Tensor:
    """What the decoder of an encoder-decoder reads (rows, a) where it is to give these answers (rows, a): each token after
    the one before, the first after the token that begins every answer. What it reads for IGNORED does not matter."""
    return F.pad(answers[:, :-1], (1, 0), value=model.config.decoder_start_token_id).clamp(min=0)


def logits_at(model: AdaptedModel, places: Tensor, **inputs: Any) -> Tensor:
    """Logits (n, words) at the n places (rows, s) of the output that are True.

    The output layer, which costs as much as many layers below it and a number for every word and place, reads those
    hidden states alone.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:  # an adapted one must see which rows are whose
        return model(**inputs).logits[places]
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][places],))
    try:
        return model(**inputs).logits
    finally:
        hook.remove()


def score_continuations(
    model: AdaptedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    task_ids: Tensor,
    continuations: Tensor,
    scored: Tensor,
    options: Tensor,
) -> Tensor:
    """The log-likelihood (rows,) of each continuation's scored tokens.

    Args:
        model: With the output of a language model.
        input_ids: (b, s): prompts, padded on the left, for an encoder-decoder on the right.
        attention_mask: Of these.
        task_ids: (b,).
        continuations: (rows, a), padded on the right.
        scored: (rows, a): 1 for the tokens that count, the last of which ends the continuation.
        options: (b,): how many of the continuations belong to a prompt, one after another.
    """
    kind = _Encoded if model.config.is_encoder_decoder else _ReadSoFar
    scores = torch.empty(len(continuations), device=scored.device)
    starts = options.cumsum(0) - options
    for prompts in attention_mask.sum(1).argsort(stable=True).split(ROWS_AT_ONCE):
        own = options[prompts]
        prompt_of = torch.arange(len(own), device=own.device).repeat_interleave(own)
        rows = (starts[prompts] - (own.cumsum(0) - own))[prompt_of] + torch.arange(len(prompt_of), device=own.device)
        read = kind.read(model, input_ids[prompts], attention_mask[prompts], task_ids[prompts])
        scores[rows] = read.score(continuations[rows], scored[rows], prompt_of)
    return scores


@dataclass(frozen=True)
class _Prompts(ABC):
    """Prompts that a model has read: their mask (b, s) and task ids (b,), and log-likelihoods (b, words) of what comes
    next."""

    model: AdaptedModel
    mask: Tensor
    task_ids: Tensor
    following: Tensor

    @classmethod
    @abstractmethod
    def read(cls, model: AdaptedModel, input_ids: Tensor, mask: Tensor, task_ids: Tensor) -> Self:
        """Read prompts (b, s), padded as :func:`score_continuations` says."""

    def score(self, continuations: Tensor, scored: Tensor, prompt_of: Tensor) -> Tensor:
        """As :func:`score_continuations`; prompt_of (rows,): the prompt of each."""
        scores = scored[:, 0] * self.following[prompt_of, continuations[:, 0]]
        ends = (scored * torch.arange(1, scored.shape[1] + 1, device=scored.device)).amax(1)
        longer = torch.nonzero(ends > 1)[:, 0]
        for rows in longer[ends[longer].argsort(stable=True)].split(ROWS_AT_ONCE) if len(longer) else ():
            own, width = prompt_of[rows], int(ends[rows].max())
            texts, wanted = continuations[rows, :width], scored[rows, 1:width].bool()
            found = torch.zeros(wanted.shape, device=wanted.device)
            logits = self._logits_after_first(texts, wanted, own)
            found[wanted] = -F.cross_entropy(logits.float(), texts[:, 1:][wanted], reduction="none")
            scores[rows] += found.sum(1)
        return scores

    @abstractmethod
    def _logits_after_first(self, texts: Tensor, wanted: Tensor, own: Tensor) -> Tensor:
        """Logits (n, words) of the ``wanted`` tokens (rows, a - 1) of continuations (rows, a) but the first.

        own (rows,): the prompt of each.
        """


@dataclass(frozen=True)
class _ReadSoFar(_Prompts):
    """Prompts in the cache of a causal model, with their ids (b, s) for one that has none."""

    input_ids: Tensor
    cache: DynamicCache | None

    @classmethod
    def read(cls, model: AdaptedModel, input_ids: Tensor, mask: Tensor, task_ids: Tensor) -> _ReadSoFar:
        width = int(mask.sum(1).max())
        input_ids, mask = input_ids[:, -width:], mask[:, -width:]
        at_end = torch.zeros_like(mask, dtype=torch.bool)
        at_end[:, -1] = True
        # Models that keep a state instead cannot go on from it with several tokens: they read the prompt again.
        cache = None if model.base._is_stateful else DynamicCache()
        logits = _read(model, input_ids, mask, task_ids, at_end, cache)
        return cls(model, mask, task_ids, logits.float().log_softmax(-1), input_ids, cache)

    def _logits_after_first(self, texts: Tensor, wanted: Tensor, own: Tensor) -> Tensor:
        ids, mask = texts[:, :-1], torch.cat([self.mask[own], torch.ones_like(wanted).long()], dim=1)
        if self.cache is None:
            cache, ids, places = None, torch.cat([self.input_ids[own], ids], dim=1), F.pad(wanted, (self.mask.shape[1], 0))
        else:
            layers: Any = self.cache.layers  # of attention alone, with keys and values
            cache, places = DynamicCache([(layer.keys[own], layer.values[own]) for layer in layers]), wanted
        return _read(self.model, ids, mask, self.task_ids[own], places, cache)


@dataclass(frozen=True)
class _Encoded(_Prompts):
    """Prompts as the encoder of an encoder-decoder gives them (b, s, width); its decoder reads each continuation anew."""

    states: Tensor

    @classmethod
    def read(cls, model: AdaptedModel, input_ids: Tensor, mask: Tensor, task_ids: Tensor) -> _Encoded:
        width = int(mask.sum(1).max())
        input_ids, mask = input_ids[:, :width], mask[:, :width]
        start = shifted_right(model, input_ids[:, :1])
        inputs = {"input_ids": input_ids, "attention_mask": mask, "task_ids": task_ids}
        output = model(**inputs, decoder_input_ids=start, use_cache=False)
        return cls(model, mask, task_ids, output.logits[:, 0].float().log_softmax(-1), output.encoder_last_hidden_state)

    def _logits_after_first(self, texts: Tensor, wanted: Tensor, own: Tensor) -> Tensor:
        inputs = {"attention_mask": self.mask[own], "task_ids": self.task_ids[own], "use_cache": False}
        inputs["decoder_input_ids"] = shifted_right(self.model, texts)
        states = BaseModelOutput(last_hidden_state=self.states[own])
        return logits_at(self.model, F.pad(wanted, (1, 0)), encoder_outputs=states, **inputs)


def _read(
    model: AdaptedModel, ids: Tensor, mask: Tensor, task_ids: Tensor, places: Tensor, cache: DynamicCache | None
) -> Tensor:
    """Logits (n, words) at ``places`` of the ids (rows, s), the last of those that the mask tells of; others are cached."""
    inputs = {"input_ids": ids, "attention_mask": mask, "task_ids": task_ids}
    if "position_ids" in inspect.signature(model.base.forward).parameters:
        inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    return logits_at(model, places, **inputs, past_key_values=cache, use_cache=cache is not None)

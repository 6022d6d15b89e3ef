"""Multiple choice by the likelihood of each option's own text after the question, as lm-evaluation-harness scores models
that are too small to follow instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import Batch
from benchmarks.answering.language_model import TextMode
from benchmarks.answering.log_likelihood import IGNORED
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput
from mtl_lora.errors import unknown

NORMS = ("characters", "tokens", "none")


@dataclass(frozen=True)
class Cloze(TextMode):
    """The option whose text is the likeliest in the place of the answer; training raises the right one's.

    A task's ``cloze`` says what stands in front of it. norm: what an option's log-likelihood is divided by.
    """

    norm: str = "characters"

    name: ClassVar[str] = "cloze"
    summary: ClassVar[str] = "the option whose own text a language model finds likeliest after the question"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, NORMS)

    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        """Training rows: input_ids and labels. Scored rows: input_ids of what all options have in common, what follows it
        for each of them, how many tokens of that are scored, and by what the score is divided.

        A text that is too long loses its beginning.
        """

        def train(row: dict) -> dict:
            read, learnt = pairs(task, row)[row["label"]]
            context, text = encode_pair(read, learnt, tokenizer, apart=self.encoder_decoder)
            if self.encoder_decoder:
                context = context[-max_length:]
                return {"input_ids": context, "labels": text[-max_length:], "length": len(context)}
            ids, labels = context + text, [IGNORED] * len(context) + text
            return {"input_ids": ids[-max_length:], "labels": labels[-max_length:], "length": min(len(ids), max_length)}

        def score(row: dict) -> dict:
            found = pairs(task, row)
            encoded = [encode_pair(*pair, tokenizer, apart=self.encoder_decoder) for pair in found]
            common = _common([context for context, _ in encoded])
            continuations = [(context + text)[common:] for context, text in encoded]
            longest = max(map(len, continuations))
            scored = [len(text) for _, text in encoded]
            by = {"characters": [len(text.lstrip()) for _, text in found], "tokens": scored, "none": [1] * len(found)}
            start = encoded[0][0][:common] or [_before_all(tokenizer)]
            start = start[-(max_length if self.encoder_decoder else max(max_length - longest, 1)) :]
            more = {"responses": continuations, "scored": scored, "lengths": by[self.norm]}
            return {"input_ids": start, "length": len(start) + longest, **more}

        text = [name for name in rows.column_names if name != "row"]
        return rows.map(train if training else score, remove_columns=text, load_from_cache_file=False, keep_in_memory=True)

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        batch = super().collate(rows, tokenizer)
        if "labels" not in batch:
            batch["lengths"] = torch.tensor([length for row in rows for length in row["lengths"]])
        return batch


def pairs(task: Task, row: dict[str, Any]) -> list[tuple[str, str]]:
    """For each option of a row what is read and what is scored after it.

    Where the option fills a blank in the question, that is the question up to it, filled, and the rest (Trinh and Le, 2018,
    arXiv 1806.02847: partial evaluation).
    """
    question, cloze = row["question"], task.cloze
    options = cloze.options or row["options"]
    if cloze.blank:
        before, found, after = question.partition(cloze.blank)
        if not found or not after.strip():
            raise InvalidInput(f"task {task.name}: {question!r} has no blank {cloze.blank!r} with text behind it")
        return [(before + option, f" {after.strip()}") for option in options]
    context = cloze.context.format(question=question)
    return [(context, f" {option}") for option in options]


def encode_pair(
    context: str, text: str, tokenizer: PreTrainedTokenizerBase, apart: bool = False
) -> tuple[list[int], list[int]]:
    """Tokens of a context and of the text behind it, read as one, or ``apart`` by an encoder and its decoder."""
    start = tokenizer(context)["input_ids"]
    if apart:
        return start, tokenizer(text, add_special_tokens=False)["input_ids"]
    return start, tokenizer(context + text)["input_ids"][len(start) :]


def _common(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with."""
    return next((i for i, found in enumerate(zip(*rows, strict=False)) if len(set(found)) > 1), min(map(len, rows)))


def _before_all(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that stands in front of a text, where a model needs one to read."""
    return tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id

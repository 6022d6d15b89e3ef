"""Batches of language models: texts to learn, and continuations to score."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import Batch, pad
from benchmarks.answering.log_likelihood import IGNORED


def collate_labelled(rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
    """A training batch from rows with input_ids and labels: input_ids, attention_mask and labels (b, s)."""
    ids, mask = pad([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    labels, _ = pad([row["labels"] for row in rows], IGNORED)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def collate_options(rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, left: bool) -> Batch:
    """A batch to score: what ``log_likelihood.score_continuations`` reads.

    Args:
        rows: With input_ids, responses and how many tokens at the end of each are "scored".
        tokenizer: Its padding token is used.
        left: Prompts are padded there, as a causal model reads on from them.
    """
    ids, mask = pad([row["input_ids"] for row in rows], tokenizer.pad_token_id, left=left)
    continuations, _ = pad([response for row in rows for response in row["responses"]], tokenizer.pad_token_id)
    counts = [(len(text), count) for row in rows for text, count in zip(row["responses"], row["scored"], strict=True)]
    scored, _ = pad([[0] * (length - count) + [1] * count for length, count in counts], 0)
    options = torch.tensor([len(row["responses"]) for row in rows])
    batch = {"input_ids": ids, "attention_mask": mask, "options": options}
    return batch | {"continuations": continuations, "scored": scored}

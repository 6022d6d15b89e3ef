"""Responses of a language model to a prompt: that of the likeliest option, or one that it writes, of options or free."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import Batch, pad
from benchmarks.answering.language_model import LanguageModel, TextMode
from benchmarks.answering.log_likelihood import IGNORED
from benchmarks.answering.prompts import MATCHES, PROMPTS, find_answer, prompt, response
from benchmarks.records.config import LATER
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel, InvalidInput
from mtl_lora.errors import unknown

LOSSES = ("response", "all")


@dataclass(frozen=True)
class Language(TextMode):
    """What both have in common: the same training, on text.

    loss: on the "response" alone, or on "all" tokens, prompt included. prompt: see ``benchmarks.answering.prompts``.
    """

    loss: str = "response"
    prompt: str = "same"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        if self.prompt not in PROMPTS:
            raise unknown("prompt", self.prompt, PROMPTS)
        if self.encoder_decoder and (self.loss, self.prompt) != ("response", "same"):
            raise InvalidInput(
                "loss=all and prompt=released are of causal models: an encoder-decoder learns its response alone"
            )

    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        """Training rows: input_ids and labels. Scored rows: input_ids of the prompt and what the answer mode adds to them.

        Too long a prompt loses its beginning, so that the response is always learnt; the released prompts are cut at the
        end, response included, and in training alone.
        """
        if self.end_of_answers(tokenizer) not in range(len(tokenizer)):
            raise InvalidInput(f"end must be one of the {len(tokenizer)} tokens, from 0 on, or -1 for the tokenizer's own")
        if task.written and self.prompt == "released":
            raise InvalidInput("prompt=released is the wording of multiple choice: answers in words go with prompt=same")

        def train(row: dict) -> dict:
            start, answer = self._ids(row, task, tokenizer, True), self._ids_of(_answer(row, task), tokenizer)
            if self.encoder_decoder:
                return {"input_ids": start[-max_length:], "labels": answer[:max_length], "length": len(start[-max_length:])}
            start = start if self.prompt == "released" else start[-max(max_length - len(answer), 1) :]
            ids = (start + answer)[:max_length]
            labels = ids if self.loss == "all" else ([IGNORED] * len(start) + answer)[:max_length]
            return {"input_ids": ids, "labels": labels, "length": len(ids)}

        def score(row: dict) -> dict:
            start, more = self._ids(row, task, tokenizer, False), self._to_score(row, task, tokenizer)
            start = start if self.prompt == "released" else start[-max_length:]
            return {"input_ids": start, "length": len(start), **more}

        text = [name for name in rows.column_names if name != "row"]
        return rows.map(train if training else score, remove_columns=text, load_from_cache_file=False, keep_in_memory=True)

    def _ids(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase, training: bool) -> list[int]:
        asked = prompt(task.prompt.replace("{text}", row["text"]), self.prompt, training, row.get("text_pair"))
        return self.prompt_ids(asked, tokenizer)

    def _ids_of(self, answer: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        return [*tokenizer(answer, add_special_tokens=False)["input_ids"], self.end_of_answers(tokenizer)]

    def end_of_answers(self, tokenizer: PreTrainedTokenizerBase) -> int | None:
        """The token that a response ends with."""
        return tokenizer.eos_token_id

    @abstractmethod
    def _to_score(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Columns of a scored row besides its prompt."""


@dataclass(frozen=True)
class Likelihood(Language):
    """The option whose response is the likeliest."""

    name: ClassVar[str] = "likelihood"
    summary: ClassVar[str] = "the option whose response a language model finds likeliest"

    def _to_score(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        responses = [self._ids_of(response(name), tokenizer) for name in task.labels[: len(row["options"])]]
        return {"responses": responses, "scored": [len(response) for response in responses]}


@dataclass(frozen=True)
class Generation(Language):
    """Greedy text after the prompt, and the answer found in it.

    match: the rule, see ``find_answer``. new_tokens: at most so many are generated. end: the token that an answer ends with,
    -1 for the tokenizer's own; for models that have never seen that one.
    """

    match: str = "words"
    new_tokens: int = 32
    end: int = field(default=-1, metadata=LATER)

    name: ClassVar[str] = "generation"
    summary: ClassVar[str] = "text that a language model generates: the first option named in it, or all of it"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.match not in MATCHES:
            raise unknown("match", self.match, MATCHES)
        if self.new_tokens < 1:
            raise InvalidInput(f"new tokens must be at least 1, not {self.new_tokens}")

    def end_of_answers(self, tokenizer: PreTrainedTokenizerBase) -> int | None:
        return super().end_of_answers(tokenizer) if self.end == -1 else self.end

    def more_positions(self, tasks: Sequence[Task]) -> int:
        return self.new_tokens if tasks[0].written else 0

    def _to_score(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {}

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        if rows[0].get("labels") is not None:
            return super().collate(rows, tokenizer)
        ids, mask = pad([row["input_ids"] for row in rows], tokenizer.pad_token_id, left=not self.encoder_decoder)
        return {"input_ids": ids, "attention_mask": mask}

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> LanguageModel:
        return LanguageModel(backbone, tasks, self.new_tokens, self.end)

    def answers(
        self, task: Task, outputs: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, np.ndarray | list[str]]:
        """ "text" is what was generated, up to its end; for multiple choice "prediction" is NaN where it gives no answer."""
        made = outputs["predictions"].astype(int)
        if task.written:
            answers = [_before(ids, self.end_of_answers(tokenizer)) for ids in made.tolist()]
            return {"text": [text.strip() for text in tokenizer.batch_decode(answers, skip_special_tokens=True)]}
        texts = tokenizer.batch_decode(made, skip_special_tokens=True)
        found = [find_answer(text, task.labels, self.match) for text in texts]
        return {"prediction": np.array([np.nan if f is None else f for f in found], dtype=np.float32), "text": texts}


def _before(ids: list[int], end: int | None) -> list[int]:
    """The tokens in front of the first ``end``."""
    return ids[: ids.index(end)] if end in ids else ids


def _answer(row: dict, task: Task) -> str:
    """What is learnt: the right option's response, or of several answers in words the commonest, the first of equals."""
    if task.written:
        return Counter(row["answers"]).most_common(1)[0][0]
    return response(task.labels[row["label"]])

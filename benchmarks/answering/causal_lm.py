"""Answers in text by a causal language model: by the likelihood of each option, or by writing one, of options or free."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode, Batch, TaskModel, by_sample, likeliest, pad
from benchmarks.answering.collation import collate_labelled, collate_options
from benchmarks.answering.greedy import generated, write_greedily
from benchmarks.answering.log_likelihood import IGNORED, answer_loss, score_continuations
from benchmarks.answering.prompts import MATCHES, PROMPTS, find_answer, prompt, response
from benchmarks.records.config import LATER
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel, InvalidInput
from mtl_lora.errors import unknown

LOSSES = ("response", "all")


class LanguageModel(TaskModel):
    """Adapted causal language model; nothing else is trained."""

    def __init__(self, backbone: AdaptedModel, tasks: Sequence[Task], new_tokens: int = 0, end: int = -1) -> None:
        """end: as in :class:`Generation`."""
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

        With labels (b, s), IGNORED where no loss is taken: "loss", the mean over samples of each one's mean over tokens.
        With continuations and scored (rows, a) and options (b,), as :func:`score_continuations` reads them:
        "predictions" (b,), the place of the likeliest option, by log-likelihood, divided by lengths (rows,) if given.
        With neither, prompts padded on the left: "predictions" (b, new tokens), generated greedily.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "task_ids": task_ids}
        if labels is not None:
            return {"loss": answer_loss(self.backbone, F.pad(labels[:, 1:], (0, 1), value=IGNORED), **inputs)}
        if continuations is not None:
            assert scored is not None and options is not None
            scores = score_continuations(
                self.backbone, **inputs, continuations=continuations, scored=scored, options=options
            )
            scores = scores if lengths is None else scores / lengths
            return {"predictions": likeliest(by_sample(scores, options))}
        return {"predictions": generated(self.backbone, inputs, input_ids.shape[1])}


@dataclass(frozen=True)
class Language(AnswerMode):
    """What both have in common: the same training, on text.

    loss: on the "response" alone, or on "all" tokens, prompt included. prompt: see ``benchmarks.answering.prompts``.
    """

    loss: str = "response"
    prompt: str = "same"

    language: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        if self.prompt not in PROMPTS:
            raise unknown("prompt", self.prompt, PROMPTS)

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
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        asked = prompt(task.prompt.replace("{text}", row["text"]), self.prompt, training, row.get("text_pair"))
        return start + tokenizer(asked, add_special_tokens=False)["input_ids"]

    def _ids_of(self, answer: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        return [*tokenizer(answer, add_special_tokens=False)["input_ids"], self.end_of_answers(tokenizer)]

    def end_of_answers(self, tokenizer: PreTrainedTokenizerBase) -> int | None:
        """The token that a response ends with."""
        return tokenizer.eos_token_id

    @abstractmethod
    def _to_score(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Columns of a scored row besides its prompt."""

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        return collate_labelled(rows, tokenizer)

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> LanguageModel:
        return LanguageModel(backbone, tasks)


@dataclass(frozen=True)
class Likelihood(Language):
    """The option whose response is the likeliest."""

    name: ClassVar[str] = "likelihood"
    summary: ClassVar[str] = "the option whose response a causal model finds likeliest"

    def _to_score(self, row: dict, task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        responses = [self._ids_of(response(name), tokenizer) for name in task.labels[: len(row["options"])]]
        return {"responses": responses, "scored": [len(response) for response in responses]}

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        if rows[0].get("responses") is None:
            return super().collate(rows, tokenizer)
        return collate_options(rows, tokenizer)


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
    summary: ClassVar[str] = "text that a causal model generates: the first option named in it, or all of it"

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
        ids, mask = pad([row["input_ids"] for row in rows], tokenizer.pad_token_id, left=True)
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

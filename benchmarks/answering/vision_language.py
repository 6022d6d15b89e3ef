"""Answers in words to questions on pictures: features of a frozen vision model in front of the text of a language model."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode, Batch, pad
from benchmarks.answering.greedy import write_greedily
from benchmarks.answering.image_embedding import PictureEmbedding
from benchmarks.answering.log_likelihood import IGNORED
from benchmarks.answering.vision_language_model import VisionLanguageModel
from benchmarks.metrics.texts import normal
from benchmarks.suites.spec import Task
from mtl_lora import AdaptedModel, InvalidInput
from mtl_lora.errors import unknown

PICTURES = ("own", "shuffled", "shuffled-when-scored")
TRAINED = ("projection", "projection-biases-norms")


@dataclass(frozen=True)
class VisionLanguage(AnswerMode):
    """Words that a language model generates after pictures and a question.

    vision, vision_revision, vision_width: hub id of the vision model, its pinned revision, the width of its features, of
    which grid x grid are read a picture. trained: the projection alone, or the language model's biases and norms too.
    pictures: a sample's own, or, as a control, those of other samples of its task, in training too or when scored alone.
    end: id of the token that ends an answer, -1 until it is known to be the tokenizer's. new_tokens: at most so many.
    """

    vision: str = "WinKawaks/vit-tiny-patch16-224"
    vision_revision: str = ""
    vision_width: int = 0
    grid: int = 6
    trained: str = "projection"
    pictures: str = "own"
    end: int = -1
    new_tokens: int = 20

    name: ClassVar[str] = "vision-language"
    summary: ClassVar[str] = "words that a language model generates after projected pictures and a question"
    language: ClassVar[bool] = True

    @property
    def trains_base(self) -> bool:
        return self.trained != "projection"

    def __post_init__(self) -> None:
        if self.trained not in TRAINED:
            raise unknown("trained part", self.trained, TRAINED)
        if self.pictures not in PICTURES:
            raise unknown("kind of pictures", self.pictures, PICTURES)
        for name in ("grid", "new_tokens"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name.replace('_', ' ')} must be at least 1, not {getattr(self, name)}")

    def tokens(
        self, rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
    ) -> Dataset:
        """input_ids of the prompt, pictures by content, and in training labels: the commonest answer and the end."""

        def tokens(row: dict) -> dict:
            prompt = task.prompt.format(text=row["text"])
            ids = tokenizer(prompt, truncation=True, max_length=max_length)["input_ids"]
            encoded = {"input_ids": ids, "length": len(ids)}
            if training:
                answer = tokenizer(_answer(row, task), add_special_tokens=False)["input_ids"][: self.new_tokens - 1]
                encoded["labels"] = [*answer, self.end]
            return encoded

        if self.pictures == "shuffled" or (self.pictures == "shuffled-when-scored" and not training):
            order = np.random.default_rng(0).permutation(len(rows))
            others = [rows[int(place)]["pictures"] for place in order]
            rows = rows.remove_columns("pictures").add_column("pictures", others)
        text = [name for name in rows.column_names if name not in ("row", "pictures")]
        return rows.map(tokens, remove_columns=text, load_from_cache_file=False, keep_in_memory=True)

    def collate(self, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Batch:
        """What :meth:`VisionLanguageModel.forward` reads; rows have "features", a list of arrays (parts, width)."""
        ids, mask = pad([row["input_ids"] for row in rows], tokenizer.pad_token_id)
        most = max(len(row["features"]) for row in rows)
        features = torch.zeros(len(rows), most, *rows[0]["features"][0].shape)
        shown = torch.zeros(len(rows), most, dtype=torch.long)
        for i, row in enumerate(rows):
            features[i, : len(row["features"])] = torch.from_numpy(np.stack(row["features"]))
            shown[i, : len(row["features"])] = 1
        batch = {"input_ids": ids, "attention_mask": mask, "features": features, "shown": shown}
        if rows[0].get("labels") is not None:
            batch["labels"], _ = pad([row["labels"] for row in rows], IGNORED)
        return batch

    def model(self, backbone: AdaptedModel, tasks: Sequence[Task], pooling: str, seed: int) -> VisionLanguageModel:
        write_greedily(backbone, self.new_tokens, self.end, self.end)
        if self.trains_base:
            for parameter in biases_and_norms(backbone.base):
                parameter.requires_grad_(True)
        pictures = PictureEmbedding(self.vision_width, self.grid, backbone.config.hidden_size, seed)
        return VisionLanguageModel(backbone, tasks, pictures)

    def head_parameters(self, tasks: Sequence[Task], model: PreTrainedModel) -> int:
        projection = PictureEmbedding.count(self.vision_width, model.config.hidden_size)
        own = biases_and_norms(model) if self.trains_base else ()
        return projection + sum(parameter.numel() for parameter in own)

    def more_positions(self, tasks: Sequence[Task]) -> int:
        return max(len(task.pictures.columns) for task in tasks if task.pictures) * self.grid**2 + self.new_tokens

    def answers(
        self, task: Task, outputs: dict[str, np.ndarray], tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, np.ndarray | list[str]]:
        """ "text", what was generated, and for classes "prediction": the class of that name, NaN where there is none."""
        rows = outputs["predictions"].astype(int)
        own = [[*itertools.takewhile(lambda token: token != self.end, row)] for row in rows]
        texts = [text.strip() for text in tokenizer.batch_decode(own, skip_special_tokens=True)]
        if task.written:
            return {"text": texts}
        place = {normal(label): float(i) for i, label in enumerate(task.labels)}
        found = [place.get(normal(text), np.nan) for text in texts]
        return {"prediction": np.array(found, dtype=np.float32), "text": texts}


def biases_and_norms(model: nn.Module) -> Iterator[nn.Parameter]:
    """The biases and the parameters of all norms of a model, adapted or not."""
    for module in model.modules():
        norm = "Norm" in type(module).__name__
        yield from (p for name, p in module.named_parameters(recurse=False) if norm or name == "bias")


def _answer(row: dict[str, Any], task: Task) -> str:
    """What is learnt: of several answers the commonest, the first of equals; DAQUAR writes blanks as underscores."""
    if not task.written:
        return task.labels[row["label"]]
    return Counter(row["answers"]).most_common(1)[0][0].replace("_", " ")

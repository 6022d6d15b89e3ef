"""The rows of a run as its model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import AnswerMode
from benchmarks.data.splits import TaskData
from benchmarks.experiment.study import Study
from benchmarks.training.batches import encode, encode_scored, features_for
from benchmarks.training.image_features import Features


class Rows(NamedTuple):
    """Training and scored rows as tokens, the features of their pictures, and dev where it is scored meanwhile."""

    train: Dataset
    test: Dataset
    features: Features | None
    dev: Dataset | None = None
    dev_data: Sequence[TaskData] = ()


def encode_rows(study: Study, tokenizer: PreTrainedTokenizerBase, mode: AnswerMode, max_length: int, with_dev: bool) -> Rows:
    """The rows of a study's runs; ``with_dev`` those of the dev split too, where another is scored."""
    train, test = encode(study.data, tokenizer, mode, max_length)
    if not with_dev:
        return Rows(train, test, features_for(study.data, mode, study.source, train, test))
    dev_data = replace(study, split="dev").data
    dev = encode_scored(dev_data, tokenizer, mode, max_length)
    features = features_for([*study.data, *dev_data], mode, study.source, train, test, dev)
    return Rows(train, test, features, dev, dev_data)

"""Using a finished run: its model as it was trained, and predictions on new text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import isnan
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from benchmarks.answering.base import OUTPUTS, TaskModel
from benchmarks.answering.registry import read_answer_mode
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.data.multiple_choice import read_choice
from benchmarks.records.config import RunConfig
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.sources.backbones import refuse_other
from benchmarks.suites import recorded_suite
from benchmarks.suites.spec import Suite, Task
from benchmarks.training.batches import Collator
from benchmarks.training.image_features import OfFiles
from benchmarks.training.model import build_model
from mtl_lora import InvalidInput, load_trained
from mtl_lora.errors import unknown

BATCH = 64


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what it was trained for."""

    record: RunRecord
    suite: Suite
    model: TaskModel
    tokenizer: PreTrainedTokenizerBase
    source: Source

    @property
    def run(self) -> RunConfig:
        """What was run."""
        return self.record.config

    @classmethod
    def open(cls, store: RunStore, run_id: str, source: Source) -> FinishedRun:
        """Rebuild the model of a finished run from its record, its backbone and its trained tensors."""
        record = store.get(run_id)
        if not store.trained_path(run_id).exists():
            raise InvalidInput(f"{store.trained_path(run_id)} is missing: remove the record too and run it again")
        run = record.config
        backbone, revision = run.backbone.id, run.backbone.revision
        if run.backbone.weights is not None:
            refuse_other(backbone, source.identity(backbone, revision), asdict(run.backbone.weights), f"run {run_id}")
        suite = recorded_suite(record)
        model = build_model(run, suite, source)
        load_trained(model, store.trained_path(run_id))
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(record, suite, model.eval(), source.tokenizer(backbone, revision), source)

    def task(self, name: str) -> Task:
        """The task of that name, or InvalidInput that lists the run's."""
        known = {task.name: task for task in self.model.tasks}
        if name not in known:
            raise unknown("task of this run", name, known)
        return known[name]

    @torch.no_grad()
    def predict(self, task: Task, lines: Iterable[str]) -> Iterator[str]:
        """The class, grade or words that answer each line of text; the two texts of a pair are separated by a tab.

        For multiple choice a line is a whole instruction in the wording of the data, "\\n" in it a line break, and the
        answer the name of an option, or "no answer". For questions on pictures it starts with their files, each with a tab
        behind it.
        """
        if task.picture_column:
            raise InvalidInput(f"task {task.name} has generated pictures, which lines of text cannot give")
        index, mode, device = (
            self.model.tasks.index(task),
            read_answer_mode(self.run.answering),
            next(self.model.parameters()).device,
        )
        features = None
        if task.pictures:
            assert isinstance(mode, VisionLanguage)
            mode = replace(mode, pictures="own")  # whatever the run itself was shown
            features = OfFiles(mode, self.source)
        folds = not (self.model.backbone.method.routes_by_token or self.model.backbone.quantised)
        if folds:
            self.model.backbone.merge(task.name)
        stream = enumerate(lines, 1)
        while batch := list(islice(stream, BATCH)):
            rows = Dataset.from_list([_columns(task, number, line.rstrip("\r\n")) for number, line in batch])
            encoded = mode.tokens(rows, task, self.tokenizer, self.run.backbone.max_length, training=False)
            inputs = Collator(mode, self.tokenizer, features)([row | {"task_ids": index} for row in encoded])
            outputs = self.model(**{name: tensor.to(device) for name, tensor in inputs.items()})
            arrays = {name: outputs[name].float().cpu().numpy() for name in OUTPUTS if name in outputs}
            answers = mode.answers(task, arrays, self.tokenizer)
            if task.written:
                yield from (" ".join(text.split()) for text in answers["text"])
                continue
            for value in map(float, answers["prediction"]):
                yield f"{value:.3f}" if task.graded else "no answer" if isnan(value) else task.labels[int(value)]
        if folds:
            self.model.backbone.unmerge()


def _columns(task: Task, number: int, line: str) -> dict[str, Any]:
    """A row as ``benchmarks.data.columns`` gives it, whose label nothing depends on."""
    if task.choice:
        text = line.replace("\\n", "\n")
        try:
            return {"text": text, **read_choice(text, task.labels[0], task.labels)._asdict(), "row": number}
        except ValueError as error:
            raise InvalidInput(f"line {number} is no instruction of task {task.name}: {error}") from error
    files = task.pictures.columns if task.pictures else ()
    parts, wanted = line.split("\t"), [*(f"file of {column}" for column in files), *task.inputs]
    if len(parts) != len(wanted):
        form = "one text" if wanted == [*task.inputs[:1]] else f"{' and '.join(wanted)} separated by a tab"
        raise InvalidInput(f"line {number} has {len(parts)} parts; task {task.name} takes {form}")
    pictures, texts = parts[: len(files)], [*parts[len(files) :], ""][: max(len(task.inputs), 1)]
    row = dict(zip(("text", "text_pair"), texts, strict=False)) | {"label": 0.0, "row": number}
    return row | ({"pictures": pictures} if files else {})

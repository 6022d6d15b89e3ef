"""Using a finished run: predictions on new text, and export of a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from baselines.peft_format import export_peft
from benchmarks.data import Collator, encode_task
from benchmarks.model import MultiTaskModel, build_model
from benchmarks.records import RunConfig, RunStore
from benchmarks.sources import Source
from benchmarks.suite import Task
from mtl_lora import InvalidInput, load_trained
from mtl_lora.errors import unknown

BATCH = 64
HEAD = "head.safetensors"


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what it was trained for."""

    run: RunConfig
    model: MultiTaskModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def open(cls, store: RunStore, run_id: str, source: Source) -> FinishedRun:
        """Rebuild the model of a finished run from its record, its backbone and its trained tensors."""
        record = store.find(run_id)
        if record is None:
            raise InvalidInput(f"no run {run_id!r} in {store.folder / 'runs'}; `mtl-lora report` lists the runs there are")
        if not store.trained_path(run_id).exists():
            raise InvalidInput(f"{store.trained_path(run_id)} is missing: remove the record too and run it again")
        run = RunConfig.of(record)
        model = build_model(run, source)
        load_trained(model, store.trained_path(run_id))
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(run, model.eval(), source.tokenizer(run.backbone["id"], run.backbone["revision"]))

    def task(self, name: str) -> Task:
        """The task of that name, or InvalidInput that lists the run's."""
        found = {task.name: task for task in self.model.tasks}
        if name not in found:
            raise unknown("task of this run", name, found)
        return found[name]

    @torch.no_grad()
    def predict(self, task: Task, lines: Iterable[str]) -> Iterator[str]:
        """The class or grade of each line of text; the two texts of a pair are separated by a tab."""
        if task.picture_column:
            raise InvalidInput(f"task {task.name} has pictures, which lines of text cannot give")
        self.model.backbone.merge(task.name)
        index = self.model.tasks.index(task)
        stream = enumerate(lines, 1)
        while batch := list(islice(stream, BATCH)):
            texts = [self._columns(task, number, line.rstrip("\r\n")) for number, line in batch]
            rows = Dataset.from_list([text | {"label": 0.0, "row": row} for row, text in enumerate(texts)])
            encoded = encode_task(rows, index, self.tokenizer, self.run.backbone["max_length"])
            inputs = Collator(self.tokenizer)(list(encoded))
            inputs = {name: tensor.to(self.model.heads.weight.device) for name, tensor in inputs.items() if name != "labels"}
            for value in self.model(**inputs)["predictions"].tolist():
                yield f"{value:.3f}" if task.graded else task.labels[int(value)]
        self.model.backbone.unmerge()

    def export(self, task: Task, folder: Path) -> None:
        """Write a task's adapter as a PEFT checkpoint, and its head (weight, bias) beside it."""
        export_peft(self.model.backbone, task.name, folder, base_name=self.run.backbone["id"])
        start = int(self.model.first[self.model.tasks.index(task)])
        own = slice(start, start + task.outputs)
        heads = self.model.heads
        head = {"weight": heads.weight[own].detach().contiguous(), "bias": heads.bias[own].detach().contiguous()}
        about = {
            "labels": ",".join(task.labels),
            "scale": f"{task.scale[0]}..{task.scale[1]}",
            "pooling": self.model.pooling,
        }
        save_file(head, folder / HEAD, about)

    @staticmethod
    def _columns(task: Task, number: int, line: str) -> dict[str, str]:
        texts = line.split("\t")
        if len(texts) != len(task.inputs):
            wanted = "one text" if len(task.inputs) == 1 else f"{' and '.join(task.inputs)} separated by a tab"
            raise InvalidInput(f"line {number} has {len(texts)} texts; task {task.name} takes {wanted}")
        return dict(zip(("text", "text_pair"), texts, strict=False))

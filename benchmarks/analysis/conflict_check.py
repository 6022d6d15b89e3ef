"""``python -m benchmarks.analysis.conflict_check``: does the conflict knob do what it says?

Measures the cosine between the gradients of the two readers' tasks of each form, on the adapters of one LoRA shared by all
tasks: at the start, where only the data decide, and after training, where the finished runs of ``mtl-lora run quick`` lie.
The other half of the check, the gap between one shared LoRA and one LoRA per task, is in the report of those runs.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from tabulate import tabulate
from torch import Tensor

from benchmarks.analysis.passes import gradient
from benchmarks.answering.base import TaskModel
from benchmarks.as_command import as_command
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore
from benchmarks.training.batches import Collator, encode
from benchmarks.training.model import build_model
from benchmarks.world.language import READERS
from mtl_lora import load_trained

COLUMNS = ("conflict", "seed", "stage", "form", "cosine")


def gradients(model: TaskModel, study: Study) -> dict[str, Tensor]:
    """For each task, the gradient of its mean loss over the scored rows with respect to all adapters, as one vector."""
    tokenizer = study.source.tokenizer(study.backbone.id, study.backbone.revision)
    _, test = encode(study.data, tokenizer, study.mode, study.backbone.max_length)
    by_task = {}
    for index, data in enumerate(study.data):
        rows = test.select([i for i, task in enumerate(test["task_ids"]) if task == index])
        by_task[data.task.name] = gradient(model, list(rows), Collator(study.mode, tokenizer))
    return by_task


def cosines(gradients_of: dict[str, Tensor]) -> dict[str, float]:
    """For each form, the cosine between its two readers' gradients."""
    forms = dict.fromkeys(name.rpartition("-")[0] for name in gradients_of)
    pairs = {form: [gradients_of[f"{form}-{reader}"] for reader in READERS] for form in forms}
    return {form: torch.cosine_similarity(pair[0], pair[1], dim=0).item() for form, pair in pairs.items()}


def main(
    conflict: Annotated[str, typer.Option(help="conflicts to measure at")] = "0,0.25,0.5,0.75,1",
    seeds: Annotated[str, typer.Option(help="of adapters, heads and training")] = "0,1,2",
    results: Annotated[Path, typer.Option(help="folder of run records")] = Path("results"),
) -> None:
    """Measure gradient cosines and write RESULTS/conflict/gradients.csv."""
    store, rows = RunStore(results), []
    for study in studies(StudyOptions("quick", methods="lora", conflict=conflict, seeds=seeds)):
        value = study.suite.conflict
        for run in study.runs():
            for stage, model in _stages(run, study, store):
                for form, cosine in cosines(gradients(model, study)).items():
                    rows.append(dict(zip(COLUMNS, (value, run.seed, stage, form, f"{cosine:.4f}"), strict=True)))
    path = results / "conflict" / "gradients.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(tabulate(_summary(rows), headers="keys", tablefmt="github", disable_numparse=True))
    print(f"cosine of the two readers' gradients, mean over forms and seeds; written: {path}")


def _stages(run: RunConfig, study: Study, store: RunStore) -> Iterator[tuple[str, TaskModel]]:
    model = build_model(run, study.suite, study.source)
    yield "start", model
    if store.trained_path(run.id).exists():
        load_trained(model, store.trained_path(run.id))
        yield "trained", model


def _summary(rows: list[dict]) -> list[dict[str, str]]:
    """Means over forms and seeds: a row per stage, a column per conflict."""
    table = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        line = {"gradients": stage}
        for conflict in dict.fromkeys(row["conflict"] for row in rows):
            values = [float(r["cosine"]) for r in rows if (r["stage"], r["conflict"]) == (stage, conflict)]
            line[f"conflict {conflict:g}"] = f"{statistics.mean(values):+.2f}" if values else ""
        table.append(line)
    return table


if __name__ == "__main__":
    as_command(main)

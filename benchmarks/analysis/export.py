"""One task of a finished run for use elsewhere: a PEFT checkpoint, or a plain model with the adapter merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from huggingface_hub import HfApi, ModelCardData
from safetensors.torch import save_file
from transformers import PreTrainedModel

from baselines.peft_format import export_peft
from benchmarks.analysis.inference import FinishedRun
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput

HEAD, CARD = "head.safetensors", "README.md"


def export_task(finished: FinishedRun, task: Task, folder: Path) -> None:
    """Write a task's adapter as a PEFT checkpoint, with its head, where it has one, and a model card beside it."""
    backbone = finished.run.backbone
    export_peft(finished.model.backbone, task.name, folder, base_name=backbone.id, base_revision=backbone.revision)
    _write_head(finished, task, folder)
    load = f'AutoPeftModel.from_pretrained("{folder.name}")  # from peft; base and adapter'
    (folder / CARD).write_text(_card(finished, task, "peft", load))


def merge_task(finished: FinishedRun, task: Task, folder: Path) -> None:
    """Write the base with a task merged in, its tokenizer and its head: a plain folder for anything that loads models.

    Raises:
        InvalidInput: Where the folder holds something already, or the method cannot be merged. Nothing is written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty: name a new folder")
    plain = cast(PreTrainedModel, finished.model.backbone.unload(task.name))
    plain.config.use_cache = True  # which training turned off
    plain.save_pretrained(folder)
    finished.tokenizer.save_pretrained(folder)
    _write_head(finished, task, folder)
    load = f'{type(plain).__name__}.from_pretrained("{folder.name}")  # from transformers'
    (folder / CARD).write_text(_card(finished, task, "transformers", load))


def push(folder: Path, to: str) -> str:
    """Upload a folder to a model repository of the hub, which is made where it is missing; where it then is."""
    api = HfApi()
    api.create_repo(to, exist_ok=True)
    return str(api.upload_folder(repo_id=to, folder_path=folder))


def _write_head(finished: FinishedRun, task: Task, folder: Path) -> None:
    head = {name: tensor.detach().cpu().contiguous() for name, tensor in finished.model.head(task).items()}
    about = {
        "labels": ",".join(task.labels),
        "scale": f"{task.scale[0]}..{task.scale[1]}",
        "pooling": finished.run.backbone.pooling,
    }
    if head:
        save_file(head, folder / HEAD, about)


def _card(finished: FinishedRun, task: Task, library: str, load: str) -> str:
    """What a reader of the hub must know: what it is, how it scored, which record says more, how to load it."""
    run, score = finished.run, finished.record.scores[task.name]
    data = ModelCardData(base_model=run.backbone.id, library_name=library, tags=["multi-task", run.method.name])
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in score.metrics.items())
    head = f"\nThe head is in {HEAD}: pool the last hidden states ({run.backbone.pooling}), then a linear layer.\n"
    return f"""---
{data.to_yaml()}
---

# Task {task.name} of {run.method.label} on {run.backbone.id}

One task of a model that was trained on {len(run.tasks)} tasks of suite {run.suite} together: {", ".join(run.tasks)}.

- Method: {run.method.name}, {", ".join(f"{name} {value}" for name, value in run.method.settings.items())}
- Scored on {score.rows:,} rows of {run.split}: {metrics} (standard error {score.standard_error:.4f})
- Record: {finished.record.id}, seed {run.seed}, protocol {run.protocol}

```python
{load}
```
{head if finished.model.head(task) else ""}"""

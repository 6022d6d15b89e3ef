"""Checkpoints of a run: marked once all of one is on disk, and looked at before they are resumed from."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainingArguments

from benchmarks.records.store import write_whole

COMPLETE = "complete"  # a file of sums, written last into a checkpoint: the sha256 of every other file in it


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once all of it is on disk, so that one cut short or damaged is never resumed from."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes the state of its random numbers
        if args.should_save:
            assert args.output_dir is not None
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            sums = json.dumps(_sums(checkpoint))
            write_whole(checkpoint / COMPLETE, lambda temporary: temporary.write_text(sums, encoding="utf-8"))


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint of a run that is whole, or None."""
    marked = sorted((path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")), key=checkpoint_step, reverse=True)
    return next((path for path in marked if (path / COMPLETE).read_bytes() == json.dumps(_sums(path)).encode()), None)


def _sums(checkpoint: Path) -> dict[str, str]:
    """The sha256 of every file of a checkpoint but the mark, each of them on disk for good."""
    sums = {}
    for file in sorted(checkpoint.iterdir()):
        if file.name != COMPLETE:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
                sums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return sums


def checkpoint_step(checkpoint: Path | None) -> int:
    """The step a checkpoint was written after; 0 for none."""
    return int(checkpoint.name.partition("-")[2]) if checkpoint else 0

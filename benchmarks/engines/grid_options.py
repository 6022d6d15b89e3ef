"""How to do the runs of a grid, as a user says it: every field is an option of ``mtl-lora run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class GridOptions:
    """Which engine does the runs, how, and which of them; none of it says what a run is."""

    accumulation: Annotated[int, typer.Option(help="micro-batches per step", min=1)] = 1
    gradient_checkpointing: Annotated[bool, typer.Option(help="recompute activations: less memory, more time")] = False
    workers: Annotated[
        int | None,
        typer.Option(help="runs at a time; as many as cores or GPUs unless given", envvar="MTL_LORA_WORKERS", min=1),
    ] = None
    per_gpu: Annotated[int, typer.Option(help="runs at a time on each GPU", min=1)] = 1
    devices: Annotated[
        int | None, typer.Option(help="on Ray: GPUs, or cores where there are none, that do each run together", min=1)
    ] = None
    retry_failed: Annotated[bool, typer.Option(help="do runs again that diverged or failed")] = False
    again: Annotated[bool, typer.Option(help="do all runs again, finished ones too")] = False
    dev_scores: Annotated[bool, typer.Option(help="also score on dev after each tenth of training, for the record")] = False
    report_to: Annotated[str, typer.Option(help="of transformers' Trainer: tensorboard, wandb, mlflow, ..")] = "none"
    engine: Annotated[str, typer.Option(help="local, ray: on a cluster, or slurm: a script to submit")] = "local"
    address: Annotated[str, typer.Option(help="of the Ray cluster")] = "auto"
    per_job: Annotated[int, typer.Option(help="runs in each job of the SLURM script", min=1)] = 8
    wait: Annotated[bool, typer.Option(help="for runs that other jobs hold, or leave them to those")] = True
    shard: Annotated[str, typer.Option(help="a share of the runs, for jobs side by side: 1/4, 2/4, ..")] = "1/1"

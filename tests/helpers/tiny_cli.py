"""The command line in this process, and the options of a run on the tiny mirror."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from tiny_mirror import ENCODER

from benchmarks import cli
from benchmarks.records.store import RunStore

FAST = ["--methods", "all", "--epochs", "1", "--batch-size", "16", "--learning-rate", "0.01", "--precision", "float32"]
BUDGET = ["--budget", "16500"]


def mtl_lora(*arguments: str | Path) -> int:
    """Run the command line in this process; its exit status."""
    before, sys.argv = sys.argv, ["mtl-lora", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def run_arguments(tiny: Path, results: Path, *more: str) -> list[str]:
    """Of ``run`` on all tasks of the tiny GLUE."""
    model = ["--mirror", str(tiny), "--backbone", ENCODER, "--targets", "query,value,dense"]
    return ["run", "nlu", *model, *FAST, *BUDGET, "--results", str(results), *more]


def predictions(store: RunStore, run_id: str) -> pd.DataFrame:
    """What a finished run answered."""
    return pd.read_parquet(store.record_path(run_id).with_suffix(".predictions.parquet"))

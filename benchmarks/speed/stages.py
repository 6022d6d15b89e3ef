"""``python -m benchmarks.speed.stages``: where the time of a run goes, by a command of its own and by a worker's next."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from unittest.mock import patch

import typer
from tabulate import tabulate

from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.quiet import quiet
from benchmarks.records.config import plain
from benchmarks.records.environment import environment
from benchmarks.records.store import RunStore
from benchmarks.training import runner
from benchmarks.training.trainer import AdapterTrainer, Execution

IMPORTS = "import time, benchmarks.engines.grid, benchmarks.engines.choose, benchmarks.experiment.resolve"
START, DATA, REST = "imports", "options and data", "the rest"
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("model", runner, "build_model"),
    ("rows as tokens", runner.Runner, "rows"),
    ("training", AdapterTrainer, "train"),
    ("scoring", AdapterTrainer, "predict"),
    ("grades", runner, "read_predictions"),
    ("grades", runner.Runner, "_record"),
    ("writing", RunStore, "write"),
)


def stages(options: StudyOptions) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the processor that parts of a run take: by a command of its own, and by a worker that has done another.

    options: what asks for two runs; the second one is the other.
    """
    alone: dict[str, float] = {START: _imports()}
    with _timed(alone, DATA):
        (study,) = studies(options)
        first, second = study.runs()
    with TemporaryDirectory() as folder:
        worker = runner.Runner(RunStore(Path(folder)), Execution())
        after: dict[str, float] = {}
        for run, seconds in ((first, alone), (second, after)):
            whole: dict[str, float] = {}
            with _timed(whole, REST), _parts_timed(seconds):
                worker.run(study, run, lambda *progress: None)
            seconds[REST] = whole[REST] - sum(seconds[name] for name in {name for name, _, _ in PARTS})
    return alone, after


def main(
    out: Annotated[Path, typer.Option(help="file for what was measured")] = Path("results/speed/stages.json"),
    method: Annotated[str, typer.Option(help="whose runs")] = "mtl-lora",
) -> None:
    """Measure two runs of `quick` one after another in this process, by seconds of the processor."""
    quiet()
    alone, after = stages(StudyOptions("quick", methods=method, seeds="0,1"))
    rows = [(name, f"{alone[name]:.2f}", f"{after.get(name, 0.0):.2f}") for name in alone]
    rows.append(("all", f"{sum(alone.values()):.2f}", f"{sum(after.values()):.2f}"))
    print(tabulate(rows, headers=["", "a command of its own", "a worker's next"], disable_numparse=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "environment": plain(environment("python -m benchmarks.speed.stages")),
        "method": method,
        "alone": alone,
        "after": after,
    }
    out.write_text(json.dumps(record, indent=1) + "\n")


def _imports() -> float:
    """What a new process takes until it can read options."""
    told = subprocess.check_output([sys.executable, "-c", f"{IMPORTS}; print(time.process_time())"], text=True)
    return float(told)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.process_time()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - start


@contextmanager
def _parts_timed(seconds: dict[str, float]) -> Iterator[None]:
    """Have each of ``PARTS`` timed while this is open."""
    with ExitStack() as stack:
        for name, owner, function in PARTS:
            inner = getattr(owner, function)

            def outer(*arguments: Any, _inner: Any = inner, _name: str = name, **named: Any) -> Any:
                with _timed(seconds, _name):
                    return _inner(*arguments, **named)

            stack.enter_context(patch.object(owner, function, functools.wraps(inner)(outer)))
        yield


if __name__ == "__main__":
    typer.run(main)

"""``python -m benchmarks.speed.grids``: how long the same grid takes on each engine, in turn, and where the time goes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from tabulate import tabulate

from benchmarks.records.config import plain
from benchmarks.records.environment import environment
from benchmarks.records.store import RunStore

TODAY, WORKERS, RAY = "1 worker, 2 threads", "2 workers", "ray, 2 nodes of 1 core"
SHORT = "--methods lora,dora,mtl-lora --seeds 0,1 --max-train 100 --max-eval 50 --epochs 1 --budget 3%"
GRIDS = {"quick": ["quick", "--seeds", "0,1"], "nlu": ["nlu", *SHORT.split()]}  # 16 runs, and 6 short ones


@dataclass(frozen=True)
class Timed:
    """A grid that was done. start: seconds of a command that only reads options, data and records, as every one does first.
    training, scoring: of all runs, by their records; with several workers they overlap. scores: by run."""

    seconds: float
    start: float
    training: float
    scoring: float
    scores: dict[str, float]


def timed(grid: list[str], engine: list[str], threads: int) -> Timed:
    """Do a grid in an empty folder."""
    surroundings = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.cli"]
    with TemporaryDirectory() as folder:
        where = [*grid, "--results", folder]
        start = _seconds([*command, "status", *where], surroundings)
        seconds = _seconds([*command, "run", *where, *engine], surroundings)
        records = RunStore(Path(folder)).finished()
    training = sum(record.training.seconds for record in records)
    scoring = sum(record.training.evaluation_seconds for record in records)
    return Timed(seconds, start, training, scoring, {record.id: record.score for record in records})


def _seconds(command: list[str], surroundings: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=surroundings, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


@contextmanager
def ray_nodes() -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def main(
    out: Annotated[Path, typer.Option(help="file for what was measured")] = Path("results/speed/grids/grids.json"),
    rounds: Annotated[int, typer.Option(help="each of all engines in turn", min=1)] = 3,
    grids: Annotated[str, typer.Option(help="which")] = ",".join(GRIDS),
    ray: Annotated[bool, typer.Option(help="with a Ray cluster")] = True,
    mirror: Annotated[Path | None, typer.Option(envvar="MTL_LORA_MIRROR", help="for nlu")] = None,
) -> None:
    """Time every grid on every engine, round by round; what counts are ratios within a round."""
    options = ["--mirror", str(mirror)] if mirror else []
    found: dict[str, dict[str, list[Timed]]] = {}
    for _ in range(rounds):
        for grid in grids.split(","):
            taken, asked = found.setdefault(grid, {}), GRIDS[grid] + options
            taken.setdefault(TODAY, []).append(timed(asked, ["--workers", "1"], 2))
            taken.setdefault(WORKERS, []).append(timed(asked, ["--workers", "2"], 1))
            if ray:
                with ray_nodes() as address:
                    taken.setdefault(RAY, []).append(timed(asked, ["--engine", "ray", "--address", address], 1))
            print(grid, {engine: f"{times[-1].seconds:.0f} s" for engine, times in taken.items()}, flush=True)
    print(tabulate(list(_rows(found)), headers="keys", disable_numparse=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "environment": plain(environment("python -m benchmarks.speed.grids")),
        "grids": {grid: {e: [asdict(t) for t in times] for e, times in taken.items()} for grid, taken in found.items()},
    }
    out.write_text(json.dumps(record, indent=1) + "\n")


def _rows(found: dict[str, dict[str, list[Timed]]]) -> Iterator[dict[str, str]]:
    for grid, taken in found.items():
        for engine, times in taken.items():
            ratios = [before.seconds / own.seconds for before, own in zip(taken[TODAY], times, strict=True)]
            same = all(own.scores == other.scores for own, other in zip(times, taken[WORKERS], strict=True))
            yield {
                "grid": f"{grid}, {len(times[0].scores)} runs",
                "engine": engine,
                "seconds": _spread([own.seconds for own in times], 0),
                "times as fast as today": _spread(ratios, 2),
                "start": _spread([own.start for own in times], 0),
                "training of all runs": _spread([own.training for own in times], 0),
                "scoring": _spread([own.scoring for own in times], 0),
                "scores as by 2 workers": "the same" if same else "others",
            }


def _spread(values: list[float], digits: int) -> str:
    """The median, and the least and most where they were measured several times."""
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else middle


if __name__ == "__main__":
    typer.run(main)

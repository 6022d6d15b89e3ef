"""``mtl-lora plan``, ``run`` and ``status``: a grid of runs before, during and after it is done."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from benchmarks.engines.forks import fork_server
from benchmarks.engines.grid_options import GridOptions
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.options import RESULTS, AsJson, Results, with_options
from benchmarks.quiet import quiet
from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from benchmarks.engines.base import Job

app = typer.Typer()


@app.command()
@with_options(StudyOptions)
def plan(options: StudyOptions, results: Results = RESULTS, as_json: AsJson = False) -> None:
    """Show what `run` with the same options would do."""
    quiet()
    from benchmarks.engines.plan import plan as planned
    from benchmarks.engines.plan import text
    from benchmarks.experiment.resolve import studies
    from benchmarks.records.store import RunStore

    asked = studies(options, weights=False)
    plan = planned(asked, RunStore(results))
    print(json.dumps(dataclasses.asdict(plan), indent=1) if as_json else text(plan, asked[0]))


@app.command()
@with_options(StudyOptions, GridOptions)
def run(options: StudyOptions, how: GridOptions, results: Results = RESULTS) -> None:
    """Train and evaluate every method and seed; finished runs are skipped, a killed run goes on.

    Exit status 1 where runs diverged or failed: the others are done, and the report counts them.
    For several GPUs a run: torchrun --nproc-per-node 4 -m benchmarks.cli run .., or on Ray --devices 4.
    """
    if how.engine == "local" and how.workers != 1 and "WORLD_SIZE" not in os.environ and len(os.sched_getaffinity(0)) > 1:
        fork_server()  # it imports what workers need while this process imports it too
    quiet()
    from benchmarks.engines.choose import choose
    from benchmarks.engines.grid import jobs_of, run_grid, shard_of
    from benchmarks.engines.slurm import write_script
    from benchmarks.engines.tuned import run_tuned
    from benchmarks.experiment.resolve import studies
    from benchmarks.records.store import RunStore
    from benchmarks.training.trainer import Execution, together

    asked, store, devices = studies(options), RunStore(results), how.devices or together()
    tuned = asked[0].tuning
    execution = Execution(how.accumulation, how.gradient_checkpointing, how.report_to, devices, dev_scores=how.dev_scores)
    if tuned and (how.engine == "slurm" or how.shard != "1/1" or not how.wait):
        raise InvalidInput(
            "protocol tuned finds what to run from its trials: instead of shards, --no-wait or a SLURM script start the "
            "same command in several jobs, which share the runs"
        )
    for line in [*asked[0].notes, *asked[0].left_out]:
        print(line)
    jobs = [] if tuned else shard_of(jobs_of(asked), how.shard)
    if how.engine == "slurm":
        script = results / "grid.slurm"
        write_script(script, sys.argv[1:], len(jobs), how.per_job, how.workers or 1)
        print(f"written: {script}; read it, then: sbatch {script}")
        return

    def do(jobs: Sequence[Job]) -> bool:
        return run_grid(jobs, store, choose(how, jobs, store, execution), how.retry_failed, how.wait, how.again)

    try:
        finished = run_tuned(asked, store, do) if tuned else do(jobs)
    except KeyboardInterrupt:
        print("mtl-lora: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(0 if finished else 1)


@app.command()
@with_options(StudyOptions)
def status(options: StudyOptions, results: Results = RESULTS, as_json: AsJson = False) -> None:
    """How far `run` with the same options is, wherever it runs."""
    quiet()
    from benchmarks.engines.grid import jobs_of
    from benchmarks.engines.status import grid_status
    from benchmarks.engines.tuned import known_runs
    from benchmarks.experiment.resolve import studies
    from benchmarks.records.store import RunStore

    asked, store = studies(options), RunStore(results)
    runs = known_runs(asked, store) if asked[0].tuning else [job.run for job in jobs_of(asked)]
    status = grid_status(runs, store)
    print(json.dumps(dataclasses.asdict(status), indent=1) if as_json else "\n".join(status.lines()))

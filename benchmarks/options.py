"""Options of the command line that several commands have; above all those that say what to run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mtl_lora.errors import InvalidInput

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
    chosen, source = find_preset(preset or found.preset, found.pictures), source_of(mirror, features)
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
    if found.pictures and backbone is not None:
        way = dataclasses.replace(way, end=-1)  # the preset's is a token of the preset's backbone
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
        way=parse_way(answer, way) if answer else way,
        protocol=protocol,
        split=split,
        max_train=max_train,
        max_eval=max_eval,
    )
    if found.pictures:
        study = dataclasses.replace(study, way=pinned(study.way, source, study.backbone))
    if conflict is None:
        return [study]
    return [dataclasses.replace(study, suite=found.with_conflict(value)) for value in parse_conflicts(conflict)]


def source_of(mirror: Path | None, features: Path | None = None) -> Any:
    from benchmarks.sources import FEATURES, Source

    return Source(mirror, features or FEATURES)


def _replace(preset: Any, changed: dict[str, Any]) -> Any:
    return dataclasses.replace(preset, **{k: v for k, v in changed.items() if v is not None})


def with_study_options(command: Callable) -> Callable:
    """Give a command all options of :func:`studies`; it gets the list of them as its first argument."""
    signature, own = inspect.signature(studies, eval_str=True), inspect.signature(command, eval_str=True)
    extra = list(own.parameters.values())[1:]

    def wrapped(**options: Any) -> None:
        rest = {p.name: options.pop(p.name) for p in extra}
        command(studies(**options), **rest)

    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped

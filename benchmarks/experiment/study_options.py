"""What to run, as a user says it: every field is an option of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Mirror = Annotated[
    Path | None,
    typer.Option(envvar="MTL_LORA_MIRROR", help="folder of datasets/<hub id> and models/<hub id>, or several, as in PATH"),
]
Features = Annotated[
    Path | None, typer.Option(envvar="MTL_LORA_FEATURES", help="folder for features of pictures; in ~/.cache unless given")
]


Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file of methods or metrics of your own; or several")
]


@dataclass(frozen=True)
class StudyOptions:
    """A suite, and what is changed of its preset; None leaves a thing as the preset has it. Or the record of a run."""

    suite: Annotated[str | None, typer.Argument(help="a suite of `mtl-lora list`, or a file: my_suite.yaml")] = None
    record: Annotated[
        Path | None, typer.Option("--from", help="record of a run: what that was of, instead of all options that say so")
    ] = None
    plugin: Plugins = None
    preset: Annotated[str | None, typer.Option(help="backbone, size and recipe, see `mtl-lora list`")] = None
    methods: Annotated[
        str | None, typer.Option(help="all, references, or lora,dora,..; with settings: mtl-lora:up_projections=2")
    ] = None
    budget: Annotated[str | None, typer.Option(help="adapter parameters: 200k, or 2.5% of the base; or several")] = None
    rank: Annotated[int | None, typer.Option(help="of every method, instead of a budget: parameters then differ")] = None
    protocol: Annotated[
        str, typer.Option(help="matched: one recipe; tuned: each method's best learning rate; paper: as released")
    ] = "matched"
    rates: Annotated[str | None, typer.Option(help="learning rates to try, protocol tuned; 1e-4,2e-4,..")] = None
    tuning_seeds: Annotated[str | None, typer.Option(help="of the trials, protocol tuned; 100,101,.. unless given")] = None
    knob: Annotated[
        list[str] | None, typer.Option(help="tuned beside the rate, one for each method: mtl-lora:temperature=0.3,1,3")
    ] = None
    trials_budget: Annotated[
        int | None, typer.Option(help="most trials of an arm, protocol tuned: the better half with each further seed")
    ] = None
    reduced: Annotated[bool, typer.Option(help="protocol tuned with every second rate and three seeds")] = False
    answer: Annotated[
        str | None,
        typer.Option(help="see `mtl-lora list`; with settings: generation:loss=all, vision-language:pictures=shuffled"),
    ] = None
    seeds: Annotated[
        str | None, typer.Option(help="one run per method for each: 0,1,2; unless given 0, and 0 to 4 under tuned")
    ] = None
    conflict: Annotated[str | None, typer.Option(help="between the tasks of generated data, 0 to 1; or several")] = None
    tasks: Annotated[str | None, typer.Option(help="some tasks of the suite: cola,sst2")] = None
    mirror: Mirror = None
    features: Features = None
    max_train: Annotated[int | None, typer.Option(help="at most so many training rows per task")] = None
    max_eval: Annotated[int | None, typer.Option(help="at most so many scored rows per task")] = None
    split: Annotated[str, typer.Option(help="what is scored: test, or dev, training rows set apart for choosing")] = "test"
    backbone: Annotated[str | None, typer.Option(help="another model: hub id, or a folder as ./folder")] = None
    pooling: Annotated[str | None, typer.Option(help="mean over tokens, or the last token")] = None
    targets: Annotated[str | None, typer.Option(help="modules to adapt: query,value; or all-linear")] = None
    max_length: Annotated[int | None, typer.Option(help="tokens that a sample is cut at")] = None
    quantise: Annotated[str | None, typer.Option(help="the frozen base when it is loaded: int8 or int4")] = None
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16")] = None
    epochs: Annotated[int | None, typer.Option(help="passes over the training rows")] = None
    batch_size: Annotated[int | None, typer.Option(help="samples per step, over all devices")] = None
    learning_rate: Annotated[float | None, typer.Option(help="of all methods; of one: lora:learning_rate=2e-4")] = None
    warmup: Annotated[float | None, typer.Option(help="part of the steps")] = None
    weight_decay: Annotated[float | None, typer.Option(help="of AdamW")] = None
    scaling: Annotated[float | None, typer.Option(help="alpha / rank")] = None
    dropout: Annotated[float | None, typer.Option(help="of the inputs of adapters")] = None
    sampling: Annotated[str | None, typer.Option(help="of tasks: proportional to their rows, or temperature")] = None
    temperature: Annotated[float | None, typer.Option(help="draw tasks by rows ** (1 / temperature)")] = None

"""From the record of a run back to the study that it is of, so that the same run can be done again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from benchmarks.answering.registry import read_answer_mode
from benchmarks.experiment.parsing import Knob, MethodChoice
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import RunConfig, plain
from benchmarks.records.store import read_record
from benchmarks.sources import Source
from benchmarks.suites import recorded_suite
from mtl_lora.errors import InvalidInput

BESIDE = ("record", "plugin", "mirror", "features")  # options that say where things are


def recorded_study(path: Path, options: StudyOptions) -> Study:
    """The study of one run, that of a record.

    Raises:
        InvalidInput: Other options say what to run, too; or rows, weights or code are others here, so that the run would be.
    """
    for option in dataclasses.fields(options):
        if option.name not in BESIDE and getattr(options, option.name) != option.default:
            raise InvalidInput(f"--from has all that a run is of from its record: it goes without {option.name}")
    record, source = read_record(path), Source(options.mirror, options.features)
    run, suite = record.config, recorded_suite(record)
    instead = run.method.instead or {}
    recipe = {name: getattr(run.recipe, name) for name in instead}
    knob = Knob(run.method.knob, (run.candidate.value,)) if run.method.knob else None
    study = Study(
        suite=suite if run.conflict is None else suite.with_conflict(run.conflict),
        task_names=list(run.tasks),
        backbone=dataclasses.replace(run.backbone, weights=source.known_identity(run.backbone.id, run.backbone.revision)),
        recipe=run.recipe.with_values(instead),
        precision=run.precision,
        budgets=[str(run.budget or 1)],  # none matters to what trains no adapter
        methods=[
            MethodChoice(run.method.label, run.method.name, run.method.settings, recipe, True, run.method.choice, knob)
        ],
        seeds=[run.seed],
        source=source,
        mode=read_answer_mode(run.answering),
        protocol=run.protocol,
        split=run.split,
        max_train=run.max_train,
        max_eval=run.max_eval,
        rank=run.rank,
        stage=run.stage,
    )
    (here,) = study.runs()
    if here.id != run.id:
        raise InvalidInput(f"the run of {path} would be another here: {', '.join(_differences(here, run))} differ")
    return study


def _differences(one: RunConfig, other: RunConfig) -> Iterator[str]:
    """What is not the same in two configurations."""
    left, right = plain(one), plain(other)
    for name in left.keys() | right.keys():
        here, there = left.get(name), right.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from (f"{name}.{part}" for part in here.keys() | there.keys() if here.get(part) != there.get(part))
        elif here != there:
            yield name

"""What must not move when code does: the ids of runs, and the tensors that models start from."""

from __future__ import annotations

import pytest
import torch
from conftest import RESULTS, adapted_llama, tiny_bert

from benchmarks.answering.base import TaskModel
from benchmarks.answering.registry import ANSWER_MODES
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.store import read_record
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.model import build_model
from mtl_lora import AdaptedModel, MTLLoRA

RECORDS = sorted(RESULTS.glob("**/runs/*.json"))
RUNS = {
    "as the preset": (
        {},
        "6079f9630553423d ef71360ef83def3b 7518d1087f4b6d14 96cd28f6479e076c a94cd32a892c25a6 "
        "0e211cc8daa84468 c64f2d0f9745a7f0 5d4841ff2b8adf53",
    ),
    "budgets, seeds and references": (
        {"budget": "50k,93k", "seeds": "0,1", "methods": "lora,mtl-lora,references"},
        "ded0c587843bd31d b324496e868e9dbc 0e211cc8daa84468 1ac57a6e848afb2d 5d4841ff2b8adf53 "
        "6079f9630553423d a94cd32a892c25a6 c64f2d0f9745a7f0 dc430ad399d31908 a43414ecbdadccf1 "
        "62e75cf65344bf5c 40c120c652607e45 52064c45ed1844a9 8baa6f6b9bdc7be9 2230cc0b65b4356e "
        "3b8145be834ebf47",
    ),
    "conflicts and settings": (
        {"conflict": "0,1", "methods": "mtl-lora:up_projections=2:temperature=0.8,lora"},
        "66a3bc8396ee7483 e8ea755e5531a94b e32f7def560af9c9 9456e928610ca4fc",
    ),
    "tasks, cuts and a recipe": (
        {
            "tasks": "sense-north,sense-south",
            "max_train": 24,
            "max_eval": 12,
            "epochs": 1,
            "learning_rate": 0.001,
            "split": "dev",
            "methods": "lora",
        },
        "7201eec2cb268b6e",
    ),
    "sampling, precision and targets": (
        {
            "sampling": "temperature",
            "temperature": 2.0,
            "precision": "bfloat16",
            "targets": "query,value",
            "budget": "46k",
            "methods": "dora",
        },
        "0d3d181d5b548a9d",
    ),
    "texts apart": ({"answer": "heads:texts=apart", "methods": "lora"}, "f780b95b01f8cdd9"),
}


def ids(**options: str | int | float) -> list[str]:
    return [run.id for study in studies(StudyOptions("quick", **options)) for run in study.runs()]


def test_every_committed_record_has_the_id_of_its_configuration() -> None:
    assert len(RECORDS) > 400
    wrong = [path.name for path in RECORDS if read_record(path).config.id != path.stem]
    assert wrong == []


@pytest.mark.parametrize(("options", "expected"), RUNS.values(), ids=RUNS)
def test_the_same_options_are_the_same_runs(options: dict[str, str | int | float], expected: str) -> None:
    assert " ".join(ids(**options)) == expected


def start(model: TaskModel) -> float:
    """One number of all trained tensors and their names, which changes where any of their numbers or places does."""
    total = 0.0
    for name, tensor in sorted(model.named_parameters()):
        if tensor.requires_grad:
            values = tensor.detach().double().flatten()
            total += len(name) * (values @ torch.arange(len(values)).double().cos()).item() + values.abs().sum().item()
    return total


STARTS = {
    "heads": 65.596995,
    "pairs": 164.892766,
    "likelihood": 36.766336,
    "cloze": 36.766336,
    "generation": 36.766336,
    "vision-language": 343.300592,
}


@pytest.mark.parametrize("name", ANSWER_MODES)
def test_a_way_of_answering_starts_where_it_did(name: str) -> None:
    suite = {"heads": "nlu", "vision-language": "image-text"}.get(name, "commonsense")
    tasks = find_suite(suite).tasks[:3]
    settings = {"vision_width": 6, "grid": 2} if name == "vision-language" else {}
    encoder = name in ("heads", "pairs")
    method, names = MTLLoRA(rank=4, alpha=8), [task.name for task in tasks]
    if encoder:
        backbone = AdaptedModel(tiny_bert(), method, names, ["query", "value"], seed=3)
    else:
        backbone = adapted_llama(method, names, seed=3, randomise=False)
    model = ANSWER_MODES[name](**settings).model(backbone, tasks, "mean" if encoder else "last", seed=3)
    assert start(model) == pytest.approx(STARTS[name], rel=1e-5)


METHOD_STARTS = {
    "lora": 2748.324482,
    "dora": 5051.730966,
    "multilora": 11908.800966,
    "moelora:experts=4:embedding=8": 4684.901034,
    "moelora:experts=4:embedding=8:gate=shared": 794.095306,
    "mtl-lora": -61879.634345,
    "lora-per-task": 52775.683913,
    "heads-only": 429.42449,
    "full": 26147.308222,
}


@pytest.mark.parametrize("label", METHOD_STARTS)
def test_a_method_starts_where_it_did(label: str) -> None:
    [run] = [run for study in studies(StudyOptions("quick", methods=label)) for run in study.runs()]
    assert start(build_model(run, Source())) == pytest.approx(METHOD_STARTS[label], rel=1e-5)

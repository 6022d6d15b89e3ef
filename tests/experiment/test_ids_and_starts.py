"""What must not move when code does: the ids of runs, and the tensors that models start from."""

from __future__ import annotations

import pytest
import torch
from tiny_models import adapted_llama, tiny_bert
from tiny_study import RESULTS

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
        "efc662d7347654c3 32f29107c4e9b276 d3d9c58d2d50ab22 69043f7f5099cc30 756594db791a45b0 "
        "18f73d809bdf5d2c f96a76f2946088f9 ff4e8bdd321d99ca",
    ),
    "budgets, seeds and references": (
        {"budget": "50k,93k", "seeds": "0,1", "methods": "lora,mtl-lora,references"},
        "2fd7e6c435c95f4f 61275922f5e090a3 18f73d809bdf5d2c 2b56766f9ddaf67f ff4e8bdd321d99ca "
        "efc662d7347654c3 756594db791a45b0 f96a76f2946088f9 cacc645e604400bb 716e6f93a08c0cda "
        "922f4175fb2efeee a2256f39b699467e 3c0db967881ef2dc d77c582f19fe6d19 ee893318ca556934 "
        "0f694db175bbcf0c",
    ),
    "conflicts and settings": (
        {"conflict": "0,1", "methods": "mtl-lora:up_projections=2:temperature=0.8,lora"},
        "65020d2a56adbe9d ae604b583ef59380 9b08e02ff36eab0f c5fcfe5157a22791",
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
        "6dc3f0d7df06781a",
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
        "0e6c2dba004c0bd1",
    ),
    "texts apart": ({"answer": "heads:texts=apart", "methods": "lora"}, "cc5a58dacd34c442"),
}


def ids(**options: str | int | float) -> list[str]:
    return [run.id for study in studies(StudyOptions("quick", **options)) for run in study.runs()]


def test_every_committed_record_has_the_id_of_its_configuration() -> None:
    assert len(RECORDS) > 390
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
    "bi-encoder": 164.892766,
    "likelihood": 36.766336,
    "cloze": 36.766336,
    "generation": 36.766336,
    "vision-language": 343.300592,
}


@pytest.mark.parametrize("name", ANSWER_MODES)
def test_an_answer_mode_starts_where_it_did(name: str) -> None:
    suite = {"heads": "nlu", "vision-language": "image-text"}.get(name, "commonsense")
    tasks = find_suite(suite).tasks[:3]
    settings = {"vision_width": 6, "grid": 2} if name == "vision-language" else {}
    encoder = name in ("heads", "bi-encoder")
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
    assert start(build_model(run, find_suite(run.suite), Source())) == pytest.approx(METHOD_STARTS[label], rel=1e-5)

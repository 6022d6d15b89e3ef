"""A run that ends in values that are no numbers has no score, however late that shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cli import BUDGET, FAST, mtl_lora, run_arguments
from tiny_mirror import CAUSAL, ENCODER, make_mirror
from tiny_pictures import SEQ2SEQ, VISION, make_pictures

from benchmarks.records.recipe import Recipe
from benchmarks.records.store import RunStore
from benchmarks.training.divergence import Diverged, refuse_diverged
from mtl_lora import InvalidInput

STEP = [
    "--max-train",
    "16",
    "--max-eval",
    "8",
    "--methods",
    "lora",
    "--learning-rate",
    "1e30",
]  # the loss is taken before it
HEADS = ["--backbone", ENCODER, "--targets", "query,value,dense", "--tasks", "rte", "--budget", "9000"]
CAUSAL_MODEL = ["--preset", "paper", "--backbone", CAUSAL, "--budget", "16900", "--max-length", "64"]
PICTURES = ["--backbone", SEQ2SEQ, "--targets", "q_proj", "--budget", "2600", "--max-length", "20"]
MODES = {
    "heads": ["nlu", *HEADS],
    "bi-encoder": ["commonsense", *HEADS[:4], "--tasks", "piqa", "--budget", "9000"],
    "likelihood": ["commonsense", *CAUSAL_MODEL, "--tasks", "piqa", "--answer", "likelihood"],
    "generation": ["commonsense", *CAUSAL_MODEL, "--tasks", "piqa", "--answer", "generation:new_tokens=4"],
    "pictures": [
        *("image-text", "--tasks", "shapes", *PICTURES),
        *("--answer", f"vision-language:vision={VISION}:grid=2:new_tokens=4"),
    ],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


@pytest.mark.parametrize("mode", MODES)
def test_a_last_step_that_diverges_has_no_score(mode: str, tiny: Path, tmp_path: Path) -> None:
    common = ["--mirror", tiny, "--features", tmp_path / "features", "--results", tmp_path]
    assert mtl_lora("run", *MODES[mode], *FAST, *STEP, *common) == 1
    (failure,) = RunStore(tmp_path).failed()
    assert failure.status == "diverged" and "try a lower --learning-rate" in failure.failure.message


@pytest.mark.parametrize("method", ["dora", "multilora", "moelora", "mtl-lora", "lora-per-task", "full"])
def test_every_method_diverges_alike(method: str, tiny: Path, tmp_path: Path) -> None:
    options = [*FAST, *STEP, "--methods", method, "--budget", "12000", "--mirror", tiny, "--results", tmp_path]
    assert mtl_lora("run", *MODES["heads"], *options) == 1
    (failure,) = RunStore(tmp_path).failed()
    assert (failure.status, failure.config.method.name) == ("diverged", method)


def test_each_part_of_a_run_is_looked_at() -> None:
    model, fine, broken = torch.nn.Linear(2, 1), np.ones(3), np.array([1.0, np.inf])
    refuse_diverged([0.5], model, [fine])
    with pytest.raises(Diverged, match=r"the loss became nan; try a lower --learning-rate"):
        refuse_diverged([0.5, np.nan], model, [fine])
    with pytest.raises(Diverged, match=r"an answer is no number"):
        refuse_diverged([0.5], model, [fine, broken])
    torch.nn.init.constant_(model.bias, torch.inf)
    with pytest.raises(Diverged, match=r"bias is no number"):
        refuse_diverged([0.5], model, [fine])
    model.bias.requires_grad_(False)
    refuse_diverged([0.5], model, [fine])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 2.0])
@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate", "warmup", "weight_decay", "scaling", "dropout"])
def test_recipes_take_finite_values_that_make_sense(name: str, value: float) -> None:
    settings = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3} | {name: value}
    if value == 2.0 and name not in ("warmup", "dropout"):
        assert getattr(Recipe(**settings), name) == 2.0
    else:
        with pytest.raises(InvalidInput, match=f"{name.replace('_', ' ')} must be .*, not {value:g}"):
            Recipe(**settings)


SETTINGS = {
    "rate": (["--learning-rate", "nan"], "learning rate must be a finite number above 0, not nan"),
    "infinite rate": (["--learning-rate", "inf"], "learning rate must be a finite number above 0, not inf"),
    "temperature": (["--sampling", "temperature", "--temperature", "inf"], "temperature must be a finite number above 0"),
    "method": (["--methods", "mtl-lora:temperature=nan"], "mtl-lora: temperature must be a finite number, not 'nan'"),
    "method's dropout": (["--methods", "lora:dropout=inf"], "lora: dropout must be a finite number, not 'inf'"),
    "budget": (["--budget", "inf"], "budget 'inf' is neither a number of parameters"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_are_no_numbers(case: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    wrong, message = SETTINGS[case]
    assert mtl_lora(*run_arguments(tiny, tmp_path, *BUDGET, *wrong)) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert message in line

"""An outside user's path, from a CSV to a page: a drafted suite, a method of one's own, a model of a folder, no mirror."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_cli import mtl_lora
from tiny_mirror import ENCODER, make_mirror
from tiny_plugins import forgotten_plugins

from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.store import RunStore

EXAMPLES = Path(__file__).parents[2] / "examples"
METHOD = EXAMPLES / "task_scaled_lora.py"
RUN = ["--targets", "query,value,dense", "--budget", "16500", "--epochs", "1", "--precision", "float32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny encoder."""
    return str(make_mirror(tmp_path_factory.mktemp("mirror")) / "models" / ENCODER)


@pytest.fixture(autouse=True)
def own_method() -> Iterator[None]:
    with forgotten_plugins():
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The example's files, in a folder that will be gone."""
    shutil.copytree(EXAMPLES, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "shop"


def test_from_plan_to_page(shop: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = tmp_path / "results"
    study = [shop / "shop.yaml", "--plugin", METHOD, "--methods", "lora,task-scaled-lora", "--backbone", model, *RUN]
    assert mtl_lora("plan", *study, "--results", results) == 0
    assert "task-scaled-lora" in capsys.readouterr().out
    assert mtl_lora("run", *study, "--results", results) == 0
    shutil.rmtree(shop)
    assert mtl_lora("report", "--results", results) == 0
    page = (results / "report" / "index.html").read_text()
    assert "what customers say" in page and "task-scaled-lora" in page
    records = {record.config.method.name: record for record in RunStore(results).finished()}
    own = records["task-scaled-lora"]
    assert own.method_sha256 == hashlib.sha256(METHOD.read_bytes()).hexdigest() and own.source == "files"
    (tmp_path / "new.txt").write_text("the lamp is fine\n")
    capsys.readouterr()
    asked = ["predict", own.id, "--task", "reviews", tmp_path / "new.txt", "--results", results]
    assert mtl_lora(*asked) == 0
    assert capsys.readouterr().out.strip() in ("bad", "good")


def test_runs_are_named_by_what_the_suite_is_not_by_where_it_lies(shop: Path, model: str, tmp_path: Path) -> None:
    ids = set()
    shutil.copytree(shop, tmp_path / "elsewhere")
    for folder in (shop, tmp_path / "elsewhere"):
        options = StudyOptions(str(folder / "shop.yaml"), methods="lora", backbone=model, targets="query", rank=2)
        ids |= {run.id for study in studies(options) for run in study.runs()}
    assert len(ids) == 1


def test_data_of_the_hub_beside_ones_own(shop: Path, model: str) -> None:
    """Here the mirror stands for the hub; the model is a folder of its own."""
    classes = "labels: [bad, good], metrics: [accuracy]"
    rte = f"{{name: rte, dataset: nyu-mll/glue, config: rte, inputs: [sentence1, sentence2], {classes}}}"
    own = f"{{name: reviews, files: reviews.csv, inputs: [text], {classes}}}"
    (shop / "both.yaml").write_text(f"name: both\ntasks:\n- {rte}\n- {own}\n")
    options = StudyOptions(str(shop / "both.yaml"), backbone=model, mirror=Path(model).parents[2])
    (study,) = studies(options)
    assert [len(data.train) > 0 for data in study.data] == [True, True]
    assert study.data[0].train.column_names == ["text", "text_pair", "label", "row"]

"""Folders of models and data are data: nothing in them is ever executed, and nothing in them reaches for the network."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_cli import mtl_lora, run_arguments
from tiny_mirror import ENCODER, make_mirror
from tiny_pictures import SEQ2SEQ, VISION, make_pictures

from benchmarks.world.encoder import FOLDER as WORLD_ENCODER

PLANTED = "planted"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "mirror"))


def edit(file: Path, **changed: object) -> None:
    """Change entries of a JSON file; there may be none yet."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | changed))


def plant_code(folder: Path, ran: Path) -> None:
    """A module with every class that a configuration may name; it leaves a mark where it is executed."""
    kinds = ("Config", "Tokenizer", "Processor")
    lines = [f"open({str(ran)!r}, 'w').close()", *(f"class {kind}: pass" for kind in kinds)]
    (folder / f"{PLANTED}.py").write_text("\n".join(lines) + "\n")


def in_config(mirror: Path) -> Path:
    folder = mirror / "models" / ENCODER
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": f"{PLANTED}.Config"})
    return folder


def in_tokenizer(mirror: Path) -> Path:
    """Of a kind of model that has no tokenizer of its own in transformers."""
    folder = mirror / "models" / ENCODER
    shutil.rmtree(folder)
    shutil.copytree(WORLD_ENCODER, folder)
    own = {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": [f"{PLANTED}.Tokenizer", None]}}
    edit(folder / "tokenizer_config.json", **own)
    return folder


def in_image_processor(mirror: Path) -> Path:
    folder = mirror / "models" / VISION
    own = {"image_processor_type": "Processor", "auto_map": {"AutoImageProcessor": f"{PLANTED}.Processor"}}
    edit(folder / "preprocessor_config.json", **own)
    return folder


def in_data(mirror: Path) -> Path:
    folder = mirror / "datasets" / "nyu-mll" / "glue"
    (folder / "glue.py").write_text(f"import {PLANTED}\n")
    return folder


PLACES = [in_config, in_tokenizer, in_image_processor, in_data]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_planted_code_never_runs_even_where_standard_input_says_yes(
    command: str, place: Callable[[Path], Path], copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    plant_code(place(copy), ran)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"y\n" * 50)))
    monkeypatch.chdir(tmp_path)
    arguments = run_arguments(
        copy, tmp_path / "results", "--methods", "heads-only", "--max-train", "16", "--max-length", "32"
    )
    if place is in_image_processor:
        vision = ["--answer", f"vision-language:vision={VISION}:grid=2", "--features", str(tmp_path / "features")]
        model = ["--backbone", SEQ2SEQ, "--targets", "q_proj", "--budget", "300", "--max-length", "20"]
        arguments = ["run", "image-text", *arguments[2:], *vision, *model]
    assert mtl_lora(command, *arguments[1:]) == 2
    assert not ran.exists()


def test_nothing_but_predict_reads_standard_input(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = io.TextIOWrapper(io.BytesIO(b"yes\n" * 9))
    monkeypatch.setattr("sys.stdin", texts)
    common = ["--tasks", "cola", "--methods", "lora", "--budget", "17600"]
    for command in ("plan", "run"):
        assert mtl_lora(command, *run_arguments(tiny, tmp_path, *common)[1:]) == 0
    (record,) = tmp_path.glob("runs/*.json")
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert texts.buffer.tell() == 0
    assert mtl_lora("predict", record.stem, "--task", "cola", "--results", tmp_path, "--mirror", tiny) == 0
    assert texts.buffer.read() == b""


CARDS = {
    "a web address": "  - split: train\n    path: https://example.org/train.parquet",
    "another protocol": "  - split: train\n    path: hf://datasets/nyu-mll/glue/cola/train.parquet",
    "a folder above": "  - split: train\n    path: ../../../secret/train.parquet",
    "an absolute path": "  - split: train\n    path: /etc/train.parquet",
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_leads_out_of_the_mirror_is_refused_before_anything_is_read(
    case: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("reached for the network"))
    card = f"---\nconfigs:\n- config_name: cola\n  data_files:\n{CARDS[case]}\n---\n"
    (copy / "datasets" / "nyu-mll" / "glue" / "README.md").write_text(card)
    assert mtl_lora(*run_arguments(copy, tmp_path, "--tasks", "cola")) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "names data outside its folder" in line

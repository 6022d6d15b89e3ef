"""Data that is damaged, of another shape or another type: one line that names the file and what is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset
from tiny_cli import mtl_lora, run_arguments
from tiny_mirror import ENCODER, make_mirror
from tiny_pictures import SEQ2SEQ, VISION, make_pictures

from benchmarks.data.columns import read_rows
from benchmarks.suites import find_suite
from mtl_lora import InvalidInput

GLUE = "datasets/nyu-mll/glue"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "mirror"))


def refused(arguments: list, capfd: pytest.CaptureFixture) -> str:
    """The one line with which the command line refuses."""
    assert mtl_lora(*arguments) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def rows(change: Callable[[pd.DataFrame], pd.DataFrame], split: str = "train") -> Damage:
    """Change the rows of a split of CoLA."""

    def damage(folder: Path) -> None:
        file = folder / "cola" / f"{split}.parquet"
        change(pd.read_parquet(file)).to_parquet(file)

    return damage


def file_bytes(change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "cola" / "train.parquet"
        file.write_bytes(change(file.read_bytes()))

    return damage


def card(text: str) -> Damage:
    return lambda folder: (folder / "README.md").write_text(text)


def one(column: str, value: object) -> Damage:
    """One value of another kind in a column, which then is of that kind, or mixed."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = [value, *table[column][1:]] if isinstance(value, (str, type(None), float)) else [value] * len(table)
        return table

    return rows(change)


def pages(content: bytes) -> bytes:
    """The same footer over other pages."""
    return content[:4] + bytes(b ^ 0x55 for b in content[4:400]) + content[400:]


CASES: dict[str, tuple[Damage, str]] = {
    "cut off": (file_bytes(lambda content: content[:300]), "glue, cola, split train cannot be read"),
    "pages": (file_bytes(pages), "glue, cola, split train cannot be read"),
    "empty file": (file_bytes(lambda content: b""), "glue, cola, split train cannot be read"),
    "no rows": (rows(lambda table: table[:0]), "cola/train.parquet is empty"),
    "nothing to score": (rows(lambda table: table[:0], "validation"), "cola/validation.parquet is empty"),
    "no column": (rows(lambda table: table.drop(columns="sentence")), "because column names don't match"),
    "another column": (
        rows(lambda table: table.rename(columns={"label": "gold"}), "validation"),
        "because column names don't match",
    ),
    "no text": (one("sentence", None), "glue, cola, train, row 0: sentence is None, not text"),
    "numbers for text": (rows(lambda table: table.assign(sentence=7)), "Failed to parse string: 'w"),
    "lists for text": (one("sentence", ["a"]), "Couldn't cast array of type"),
    "no label": (rows(lambda table: table.assign(label=[None, *table["label"][1:]])), "row 0: label None is not one of 0"),
    "a label too high": (rows(lambda table: table.assign(label=2)), "glue, cola, train, row 0: label 2 is not one of 0"),
    "a label between": (rows(lambda table: table.assign(label=0.5)), "row 0: label 0.5 is not one of 0"),
    "lists for labels": (one("label", [0]), "Couldn't cast array of type"),
    "another name": (rows(lambda table: table.assign(label="good")), "row 0: label 'good' is not one of 0"),
    "no card": (lambda folder: (folder / "README.md").unlink(), "has no configuration 'cola', which task cola needs"),
    "no configuration": (
        card("---\nconfigs:\n- config_name: rte\n  data_files: x.parquet\n---\n"),
        "x.parquet' with any supported",
    ),
    "no split": (
        card("---\nconfigs:\n- config_name: cola\n  data_files:\n  - split: dev\n    path: cola/train.parquet\n---\n"),
        "glue, cola, split train cannot be read",
    ),
    "no YAML": (card("---\nconfigs: [\n---\n"), "glue, cola, split train cannot be read"),
    "another kind of YAML": (card("---\nconfigs: 7\n---\n"), "glue, cola, split train cannot be read"),
    "a binary card": (lambda folder: (folder / "README.md").write_bytes(b"\xff\xfe---"), "split train cannot be read"),
    "a script": (lambda folder: (folder / "glue.py").write_text("1 / 0"), "Dataset scripts are no longer supported"),
    "other settings": (
        lambda folder: (folder / ".huggingface.yaml").write_text("configs: []"),
        "yaml is not read",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_rows_and_cards_are_one_line(case: str, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    damage, message = CASES[case]
    damage(copy / GLUE)
    line = refused(run_arguments(copy, tmp_path, "--tasks", "cola", "--methods", "lora", "--budget", "9000"), capfd)
    assert message in line
    assert not list(tmp_path.glob("runs/*"))


def test_too_few_rows_to_set_any_apart_is_one_line(copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Trials are scored on a tenth of the training rows, which is none of nine."""
    rows(lambda table: table.head(9))(copy / GLUE)
    options = ["--mirror", copy, "--backbone", ENCODER, "--targets", "query,value,dense", "--budget", "9000"]
    tuned = ["run", "nlu", *options, "--tasks", "cola", "--methods", "lora", "--protocol", "tuned", "--results", tmp_path]
    assert refused(tuned, capfd) == "mtl-lora: task cola has no rows to set apart (dev): it has 9"


JSON = {
    "not JSON": (b"{not json", "boolq/train.json cannot be read"),
    "binary": (b"\xff\xfe\x00", "boolq/train.json cannot be read"),
    "another kind": (b'{"a": 1}', "boolq/train.json is not a JSON list of rows"),
    "no rows": (b"[]", "boolq/train.json is empty"),
    "mixed": (b'[{"instruction": "a"}, {"instruction": 7}]', "boolq/train.json cannot be read"),
    "other columns": (b'[{"a": 1}]', "boolq/train.json has no column 'instruction'"),
    "no text": (b'[{"instruction": null, "answer": "true"}]', "boolq/train.json, row 0: instruction is None, not text"),
    "numbers": (b'[{"instruction": 1, "answer": 2}]', "boolq/train.json, row 0: instruction is 1, not text"),
    "a list": (b'[{"instruction": "a", "answer": ["true"]}]', "boolq/train.json, row 0"),
}


@pytest.mark.parametrize("case", JSON)
def test_bad_json_is_one_line(case: str, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    content, message = JSON[case]
    (file,) = copy.rglob("boolq/train.json")
    file.write_bytes(content)
    arguments = run_arguments(copy, tmp_path, "--tasks", "boolq", "--methods", "lora", "--budget", "9000")
    assert message in refused(["run", "commonsense", *arguments[2:]], capfd)


PICTURES = {
    "numbers": (lambda table: table.assign(image=7), "holds no pictures"),
    "texts": (lambda table: table.assign(image="a.png"), "holds no pictures"),
    "no pictures": (lambda table: table.drop(columns="image"), "its pictures have no column 'image'"),
    "none": (lambda table: table[:0], "images/train.parquet is empty"),
    "missing": (lambda table: table.assign(image=None), "holds no pictures"),
    "twice": (lambda table: pd.concat([table, table]), "two pictures have the same image_id"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_bad_pictures_are_one_line(case: str, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    change, message = PICTURES[case]
    file = copy / "datasets" / "image-text" / "shapes" / "images" / "train.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    vision = ["--answer", f"vision-language:vision={VISION}:grid=2", "--features", str(tmp_path / "features")]
    model = ["--backbone", SEQ2SEQ, "--targets", "q_proj", "--budget", "2600", "--max-length", "20", "--methods", "lora"]
    arguments = [
        "run",
        "image-text",
        "--tasks",
        "shapes",
        "--mirror",
        str(copy),
        *vision,
        *model,
        "--results",
        str(tmp_path),
    ]
    assert message in refused(arguments, capfd)


QUERIES = {
    "no query": (lambda table: table.assign(query=None), "query is None, not text"),
    "numbers": (lambda table: table.assign(query=7), "query is 7, not text"),
}


@pytest.mark.parametrize("case", QUERIES)
def test_bad_queries_are_one_line(case: str, tmp_path: Path) -> None:
    change, message = QUERIES[case]
    (task,) = find_suite("ads").select(["home_depot"])
    table = change(pd.DataFrame({"query": ["a", "b"], "title": ["c", "d"], "relevance": [1.0, 2.0]}))
    with pytest.raises(InvalidInput, match=message):
        read_rows(task, Dataset.from_pandas(table), "home_depot, train")

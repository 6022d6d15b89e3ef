"""Suites of a user's own files: read, refused in a line that says where, and named by what they are."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_plugins import forgotten_plugins
from tiny_study import RESULTS

from benchmarks.data.splits import load_task
from benchmarks.records.config import plain
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite, recorded_suite
from benchmarks.suites.own import suite_of
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput

ROOT = Path(__file__).parents[2]
ROWS = [{"text": f'w{i}, "said" {"good" if i % 3 else "bad"}', "label": "yes" if i % 3 else "no"} for i in range(60)]
FIELDS = {"files": "rows.csv", "inputs": ["text"], "labels": ["no", "yes"], "metrics": ["accuracy"]}
YAML = """
name: mine
tasks:
  - name: reviews
    files: rows.csv
    inputs: [text]
    labels: ["no", "yes"]
    metrics: [accuracy]
"""


def table(path: Path, separator: str = ",") -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label"], delimiter=separator)
        writer.writeheader()
        writer.writerows(ROWS)


WRITERS: dict[str, Callable[[Path], object]] = {
    "csv": table,
    "tsv": lambda path: table(path, "\t"),
    "json": lambda path: path.write_text(json.dumps(ROWS)),
    "jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS)) + "\n"),
    "parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
}


def suite_file(folder: Path, **changed: object) -> str:
    """A suite of one task, with the CSV of its rows beside it."""
    folder.mkdir(exist_ok=True)
    table(folder / "rows.csv")
    task = {name: value for name, value in {"name": "reviews", **FIELDS, **changed}.items() if value is not None}
    (folder / "mine.yaml").write_text(json.dumps({"name": "mine", "tasks": [task]}))  # JSON is YAML
    return str(folder / "mine.yaml")


def task_of(path: str) -> Task:
    (task,) = find_suite(path).tasks
    return task


def test_the_same_rows_in_any_file_and_folder_are_the_same_task(tmp_path: Path) -> None:
    found = set()
    for kind, write in WRITERS.items():
        task = task_of(suite_file(tmp_path / kind))
        write(tmp_path / kind / f"rows.{kind}")
        task = replace(task, files=str(tmp_path / kind / f"rows.{kind}"))
        data = load_task(task, Source(), "test", None, None)
        assert len(data.train) + len(data.test) + len(data.train) // 9 == pytest.approx(60, abs=1)
        found.add((task.definition, data.fingerprint))
    assert len(found) == 1


def test_rows_of_one_file_are_parted_by_their_text(tmp_path: Path) -> None:
    task = task_of(suite_file(tmp_path))
    twice = [row for row in ROWS for _ in range(2)]
    WRITERS["json"](tmp_path / "rows.json")
    (tmp_path / "rows.json").write_text(json.dumps(twice))
    task = replace(task, files=str(tmp_path / "rows.json"))
    data = {split: load_task(task, Source(), split, None, None) for split in ("test", "dev")}
    trained, scored = (set(data["test"].train["text"]), set(data["test"].test["text"]))
    assert trained and scored and not trained & scored
    assert not set(data["dev"].test["row"]) & {*data["test"].test["row"], *data["test"].train["row"]}


def test_each_split_may_have_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "{odd}"
    suite_file(folder)
    table(folder / "train.csv")
    (folder / "held.csv").write_text("text,label\nnew good,yes\n")
    task = task_of(suite_file(folder, files="{split}.csv", test_split="held"))
    data = load_task(task, Source(), "test", None, None)
    assert (len(data.train), data.test["text"][:]) == (54, ["new good"])


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [
        (["bad", "good"], [0, 1], [0, 1]),
        (["bad", "good"], ["0", "1"], [0, 1]),
        (["1", "2"], [1, 2], [0, 1]),  # names, not places
        (["False", "True"], [True, False], [1, 0]),
    ],
)
def test_labels_are_names_or_places_of_classes(tmp_path: Path, labels: list, values: list, expected: list) -> None:
    task = task_of(suite_file(tmp_path, labels=labels))
    rows = [{"text": f"w{i}", "label": values[i % 2]} for i in range(60)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    data = load_task(replace(task, files=str(tmp_path / "rows.json")), Source(), "test", None, None)
    assert all(label == expected[row % 2] for row, label in zip(data.test["row"], data.test["label"], strict=True))


def test_a_recorded_suite_is_the_suite(tmp_path: Path) -> None:
    suite = find_suite(suite_file(tmp_path))
    assert suite_of(json.loads(json.dumps(plain(suite))), "a record") == suite


def test_a_record_of_a_suite_that_is_unknown_here_is_named() -> None:
    record = RunStore(RESULTS).finished()[0]
    for name in ("theirs", "theirs.yaml"):  # never a file, whatever it is called
        other = replace(record, config=replace(record.config, suite=name))
        with pytest.raises(InvalidInput, match=f"^run {record.id} is of {name}, a suite that is unknown here$"):
            recorded_suite(other)


def test_a_python_file_may_define_it(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv")
    fields = {**FIELDS, "inputs": ("text",), "labels": ("no", "yes"), "metrics": ("accuracy",)}
    lines = [
        "from benchmarks.suites.spec import Suite, Task",
        "WHERE = dict(dataset='', config='', revision='', summary='')",
        f"TASK = Task('reviews', **WHERE, **{fields})",
        "SUITE = Suite('mine', '', (TASK,))",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    assert task_of(str(tmp_path / "mine.py")) == task_of(suite_file(tmp_path))


def test_one_python_file_may_hold_a_metric_and_the_suite_that_it_scores(tmp_path: Path) -> None:
    (metric,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_data.md").read_text(), flags=re.S)
    fields = FIELDS | {"inputs": ("text",), "labels": (), "written": True, "metrics": ("same_length",)}
    lines = [
        metric,
        "from benchmarks.suites.spec import Suite, Task",
        f"SUITE = Suite('mine', '', (Task('t', dataset='', config='', revision='', summary='', **{fields}),))",
    ]
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    (tmp_path / "mine.py").write_text("\n".join(lines))
    with forgotten_plugins():
        assert task_of(str(tmp_path / "mine.py")).metrics == ("same_length",)
    with pytest.raises(InvalidInput, match="metrics: 'same_length' is unknown"):
        find_suite(suite_file(tmp_path, labels=None, written=True, metrics=["same_length"]))


WRONG = {
    "a field that is none": ({"lables": []}, "task reviews, lables: no such field; there are name, summary"),
    "no metrics": ({"metrics": None}, "task reviews, metrics: is missing"),
    "a text for a list": ({"inputs": "text"}, "task reviews, inputs: Input should be a valid list, not 'text'"),
    "an unquoted no": ({"labels": [False, True]}, "task reviews, labels.0: Input should be a valid string, not False: put"),
    "a number for a text": ({"files": 3}, "task reviews, files: Input should be a valid string, not 3"),
    "no such file": ({"files": "x.csv"}, "x.csv is not a file"),
    "no data": ({"files": None}, "task reviews: says neither files"),
    "a part of it": (
        {"cloze": {"contxt": ""}},
        "task reviews, cloze.contxt: no such field; there are context, o",
    ),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_file_task_and_field(changed: dict, said: str, tmp_path: Path) -> None:
    path = suite_file(tmp_path, **changed)
    with pytest.raises(InvalidInput) as refused:
        find_suite(path)
    assert str(refused.value).startswith(f"{path}, ") and said in str(refused.value) and "\n" not in str(refused.value)


WRONG_ROWS = {
    "no such column": ("txt,label\na,yes\n", "task reviews, inputs: {file} has no column 'text'; it has txt, label"),
    "another class": ("text,label\na,maybe\n", "{file}, row 0: label 'maybe' is not one of 0 no, 1 yes"),
    "a ragged row": ("text,label\na,yes\nb\n", "{file}, row 1: 1 values for the 2 columns text, label"),
    "no rows": ("text,label\n", "{file} is empty"),
    "a column twice": ("text,text\na,b\n", "{file} has two columns of one name: text, text"),
    "an open quote": ('text,label\n"a,yes\n', "{file} cannot be read: unexpected end of data"),
}


@pytest.mark.parametrize(("content", "said"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_rows_that_cannot_be_read_are_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    task = task_of(suite_file(tmp_path))
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(InvalidInput) as refused:
        load_task(task, Source(), "test", None, None)
    assert str(refused.value) == said.format(file=tmp_path / "rows.csv")


def test_other_files_that_are_no_suites(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.yaml", "name: [", "is not YAML: "),
        ("twice.yaml", "name: a\nname: b\ntasks: []", "is not YAML: name is there twice in"),
        ("b.yaml", "", "Input should be an object"),
        ("c.py", "SUITE = 1", "defines no SUITE"),
        ("d.py", "x = 1\nSUITE = y", ", line 2: NameError: name 'y' is not defined"),
        ("e.py", "x = (", ", line 1: SyntaxError"),
        ("f.txt", "", "unknown suite"),
        ("nlu.yaml", suite_file(tmp_path) and YAML.replace("mine", "nlu"), "nlu is a suite of this package"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InvalidInput) as refused:
            find_suite(str(tmp_path / name))
        assert said in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(InvalidInput, match=r"none\.yaml is not a file"):
        find_suite(str(tmp_path / "none.yaml"))

"""A first suite file for data that nobody described: it reads what the columns seem to be, and says what it did not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_cli import mtl_lora

from benchmarks.data.splits import load_task
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.suites.spec import Suite, Task

COUNT = 40


def rows(**columns: object) -> str:
    """JSON of COUNT rows; a list's values come in turn, {i} is the number of a row."""

    def value(own: object, i: int) -> object:
        own = own[i % len(own)] if isinstance(own, list) else own
        return own.format(i=i) if isinstance(own, str) else own

    return json.dumps([{name: value(own, i) for name, own in columns.items()} for i in range(COUNT)])


def drafted(folder: Path, capsys: pytest.CaptureFixture, **files: str) -> tuple[Suite, str]:
    """The suite of these files, and what was printed."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content)
    assert mtl_lora("suite", "init", *(folder / f"{name}.json" for name in files), "--to", folder / "s.yaml") == 0
    return find_suite(str(folder / "s.yaml")), capsys.readouterr().out


CASES = {
    "classes by name": (
        rows(text="w{i}", label=["good", "bad"], id="{i}"),
        {"inputs": ("text",), "labels": ("bad", "good"), "metrics": ("accuracy",)},
        "",
    ),
    "classes by place": (rows(review="w{i}", label=[0, 1]), {"inputs": ("review",), "labels": ("0", "1")}, ""),
    "a pair": (
        rows(premise="a{i}", hypothesis="b{i}", Label=["yes", "no"]),
        {"inputs": ("premise", "hypothesis"), "label_column": "Label", "labels": ("no", "yes")},
        "",
    ),
    "grades": (
        rows(query="a{i}", offer="b{i}", score=[0.5, 2.25, 3]),
        {"inputs": ("query", "offer"), "scale": (0.5, 3.0), "metrics": ("spearman",)},
        "",
    ),
    "classes that may be grades": (
        rows(text="a{i}", rating=[3, 1, 2]),
        {"labels": ("1", "2", "3")},
        "rating is read as 3 classes; of grades, give scale instead of labels",
    ),
    "answers": (
        rows(instruction="add", input="{i} 1", output="{i}1"),
        {"inputs": ("instruction", "input"), "label_column": "output", "written": True, "metrics": ("rouge_l",)},
        "",
    ),
    "no name says it": (
        rows(body="some words {i}", heading="w{i}", who="x{i}", kind=["a", "b", "c"]),
        {"inputs": ("body", "heading"), "label_column": "kind", "labels": ("a", "b", "c")},
        "label_column is kind, which has the fewest values",
    ),
    "rows without an answer": (
        rows(text="w{i}", price="{i}", label=["a", "b", None, ""]),
        {"inputs": ("text",), "labels": ("a", "b")},
        "20 rows have no label, which a run refuses: remove them",
    ),
    "splits in a column": (rows(text="w{i}", label=["a", "b"], split="train"), {}, "column split is not read"),
}


@pytest.mark.parametrize(("content", "expected", "said"), CASES.values(), ids=CASES)
def test_what_columns_seem_to_be(
    content: str, expected: dict, said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    suite, printed = drafted(tmp_path, capsys, data=content)
    (task,) = suite.tasks
    assert {name: getattr(task, name) for name in expected} == expected and said in printed
    assert printed.count("look at: ") == bool(said) + ("not read: who" in printed)
    if "have no label" in said:
        return
    data = load_task(task, Source(), "test", None, None)
    assert len(data.train) + len(data.test) + COUNT // 10 == pytest.approx(COUNT, abs=2)
    assert suite.preset == ("smollm2" if task.written else "small")


def test_files_of_splits_are_one_task(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "my-dev.json").write_text(rows(text="v{i}", label=["a", "b"]))
    suite, _ = drafted(tmp_path, capsys, **{"my-train": rows(text="w{i}", label=["a", "b"])})
    assert (suite.tasks[0].test_split, Path(str(suite.tasks[0].files)).name) == ("dev", "my-{split}.json")
    assert load_task(suite.tasks[0], Source(), "test", None, None).test["text"][0].startswith("v")


def test_a_file_is_a_task_and_none_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    own = rows(text="w{i}", label=["a", "b"])
    suite, _ = drafted(tmp_path, capsys, one=own, two=own)
    assert [task.name for task in suite.tasks] == ["one", "two"]
    before = (tmp_path / "s.yaml").read_text()
    assert mtl_lora("suite", "init", tmp_path / "one.json", "--to", tmp_path / "s.yaml") == 2
    assert "is there already" in capsys.readouterr().err and (tmp_path / "s.yaml").read_text() == before


def test_words_and_classes_make_two_suites(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, own in (("a", rows(text="w{i}", label=["a", "b"])), ("b", rows(question="w{i}", answer="{i}"))):
        (tmp_path / f"{name}.json").write_text(own)
    assert mtl_lora("suite", "init", tmp_path / "a.json", tmp_path / "b.json") == 2
    assert "b.json make two suites: answers in words, and classes or grades" in capsys.readouterr().err
    assert not (tmp_path / "a.yaml").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows(text="w{i}"), "has the one column text"),
        (rows(text="w{i}", label="a"), "column label has one value alone, 'a'"),
        (rows(x=[1, 2], label=["a", "b"]), "has no column of texts besides label"),
        ("[]", "is empty"),
    ],
)
def test_what_no_suite_can_be_made_of(content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "x.json").write_text(content)
    assert mtl_lora("suite", "init", tmp_path / "x.json") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not (tmp_path / "x.yaml").exists()


def test_every_field_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text()
    assert [name for name in Task.__dataclass_fields__ if f"`{name}`" not in guide] == []

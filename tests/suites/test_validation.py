"""A task or suite whose fields contradict each other is refused when it is read, in a line that names the field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks.suites
from benchmarks.metrics.registry import METRICS
from benchmarks.suites import all_suites
from benchmarks.suites.rules import allowed
from benchmarks.suites.spec import Cloze, Pictures, Suite, Task
from mtl_lora import InvalidInput

ON_HUB = {"summary": "", "dataset": "some/data", "config": "default", "revision": "1"}
CLASS = Task("t", inputs=("text",), labels=("no", "yes"), metrics=("f1",), **ON_HUB)
GRADE = Task("t", inputs=("text",), scale=(1.0, 3.0), metrics=("spearman",), **ON_HUB)
CHOICE = replace(CLASS, choice=True, metrics=("accuracy",))
PICTURED = replace(CLASS, pictures=Pictures(("image",)))
WRITTEN = Task("t", inputs=("text",), written=True, metrics=("exact_match",), pictures=Pictures(("image",)), **ON_HUB)

WRONG = {
    "a name with a comma": (CLASS, {"name": "a,b"}, "name: 'a,b' is not"),
    "the name of the mean": (CLASS, {"name": "mean"}, "name: 'mean' is"),
    "no metric": (CLASS, {"metrics": ()}, "metrics: there is none; allowed: accuracy, f1, matthews, average_precision"),
    "a text for a list": (CLASS, {"metrics": "f1"}, "metrics: 'f1' is not a list of names"),
    "an unknown metric": (CLASS, {"metrics": ("acc",)}, "metrics: 'acc' is unknown; allowed: accuracy, f1"),
    "an unknown metric beside": (WRITTEN, {"more_metrics": ("x",)}, "more_metrics: 'x' is unknown; allowed: vqa_accuracy"),
    "classes scored as grades": (
        CLASS,
        {"metrics": ("pearson",)},
        "metrics: pearson scores a grade, not a class; allowed: acc",
    ),
    "grades scored as classes": (
        GRADE,
        {"metrics": ("accuracy",)},
        "metrics: accuracy scores a class, not a grade; allowed: pe",
    ),
    "classes scored as texts": (CLASS, {"metrics": ("cider",)}, "metrics: cider scores a text, not a class"),
    "F1 of three classes": (CLASS, {"labels": ("a", "b", "c")}, "metrics: f1 is for 2 classes, not 3; allowed: accuracy, m"),
    "confidence of options": (CHOICE, {"metrics": ("average_precision",)}, "metrics: average_precision needs a confidence"),
    "confidence of words": (PICTURED, {"metrics": ("average_precision",)}, "metrics: average_precision needs a confidence"),
    "a ranking without queries": (
        GRADE,
        {"metrics": ("ndcg",)},
        "metrics: ndcg ranks the rows of a query: give query_column",
    ),
    "all texts together": (WRITTEN, {"metrics": ("bleu",)}, "metrics: bleu scores all texts together: name it in more_m"),
    "one class": (CLASS, {"labels": ("yes",), "metrics": ("accuracy",)}, "labels: one alone leaves nothing to tell apart"),
    "a class twice": (CLASS, {"labels": ("a", "a")}, "labels: 'a' is there twice"),
    "words and classes": (WRITTEN, {"labels": ("a", "b")}, "labels: are of classes, and the answers are free-form"),
    "a scale of classes": (CLASS, {"scale": (1.0, 3.0)}, "scale: is of grades, and this task has labels"),
    "a scale of words": (WRITTEN, {"scale": (1.0, 3.0)}, "scale: is of grades, and the answers are free-form"),
    "a scale upside down": (GRADE, {"scale": (3.0, 1.0)}, "scale: (3.0, 1.0) does not go from low to high"),
    "a scale without an end": (GRADE, {"scale": (0.0, float("inf"))}, "scale: (0.0, inf) does not go from low to high"),
    "options without names": (GRADE, {"choice": True, "scale": (0.0, 1.0)}, "choice: give labels, the names of the options"),
    "options of pictures": (
        PICTURED,
        {"choice": True, "metrics": ("accuracy",)},
        "choice: its options are texts, read without",
    ),
    "a cloze of no options": (CLASS, {"cloze": Cloze(blank="_")}, "cloze: is for multiple choice: give choice"),
    "a cloze of other options": (CHOICE, {"cloze": Cloze(options=("a",))}, "cloze: has 1 options for 2 labels"),
    "a cloze without question": (CHOICE, {"cloze": Cloze(context="Answer:")}, "cloze: its context has no {question}"),
    "captions that are classes": (PICTURED, {"captions": True}, "captions: are free-form answers: give written"),
    "captions of no picture": (WRITTEN, {"captions": True, "pictures": None}, "captions: are of pictures: give pictures"),
    "nothing read": (CLASS, {"inputs": ()}, "inputs: 0 columns; one or two are read"),
    "three texts": (CLASS, {"inputs": ("a", "b", "c")}, "inputs: 3 columns; one or two are read"),
    "two texts and a picture": (PICTURED, {"inputs": ("a", "b")}, "inputs: 2 columns; none or one is read"),
    "two texts and options": (CHOICE, {"inputs": ("a", "b")}, "inputs: 2 columns; one, which lists the options, is read"),
    "a prompt that leaves the text out": (
        PICTURED,
        {"prompt": "what?"},
        "prompt: has no {text}, so inputs would not be read",
    ),
    "a prompt of something else": (PICTURED, {"prompt": "{text} {x}"}, "prompt: '{text} {x}' names other than {text}"),
    "a prompt that nothing reads": (CLASS, {"prompt": "is {text}?"}, "prompt: is read where answers are words"),
    "grades of pictures": (
        GRADE,
        {"pictures": Pictures(("image",))},
        "pictures: answers to them are words: give labels or wr",
    ),
    "two kinds of pictures": (
        PICTURED,
        {"picture_column": "p"},
        "picture_column: the picture is read with pictures already",
    ),
    "a split by no query": (GRADE, {"split_by_query": True}, "split_by_query: by which? give query_column"),
    "grades alike": (GRADE, {"balanced": True}, "balanced: is for classes that heads tell apart"),
    "options alike": (CHOICE, {"balanced": True}, "balanced: is for classes that heads tell apart"),
    "trained on what is scored": (CLASS, {"test_split": "train"}, "test_split: 'train' is what is trained on"),
    "a conflict above 1": (CLASS, {"conflict": 2.0}, "conflict: 2 is not from 0 to 1"),
}


@pytest.mark.parametrize(("task", "changed", "said"), WRONG.values(), ids=WRONG)
def test_fields_that_contradict_each_other_are_refused(task: Task, changed: dict, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Suite("s", "", (replace(task, **changed),))
    assert str(refused.value).startswith(f"task {changed.get('name', 't')}, {said}") and "\n" not in str(refused.value)


def test_every_metric_is_allowed_where_it_is_needed() -> None:
    ranked = replace(GRADE, query_column="query")
    several = replace(CLASS, metrics=("accuracy",))
    found = {name for task in (several, ranked, WRITTEN) for name in allowed(task, "metrics")}
    assert found | set(allowed(WRITTEN, "more_metrics")) == set(METRICS)


def test_one_split_is_trained_on_and_scored_where_queries_part_it() -> None:
    task = replace(GRADE, query_column="query", split_by_query=True, test_split="train")
    assert Suite("s", "", (task,)).tasks == (task,)


TASKS = (CLASS, replace(CLASS, name="u"))
WRONG_SUITES = {
    "no tasks": ({"tasks": ()}, "tasks: there is none"),
    "a name with a blank": ({"name": "my suite"}, "name: 'my suite' is not"),
    "a task twice": ({"tasks": (CLASS, CLASS)}, "tasks: two are named t"),
    "options beside classes": (
        {"tasks": (CLASS, replace(CHOICE, name="u"))},
        "tasks: t and u differ in choice, which all of",
    ),
    "pictures beside none": ({"tasks": (CLASS, replace(PICTURED, name="u"))}, "tasks: t and u differ in pictures"),
    "a head of other classes": (
        {"tasks": tuple(replace(t, head="h", labels=("a", "b") if t is CLASS else ("b", "a")) for t in TASKS)},
        "head: t and u share h and have other labels",
    ),
    "texts read neither way": ({"texts": "aside"}, "texts: 'aside' is unknown; allowed: together, apart"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG_SUITES.values(), ids=WRONG_SUITES)
def test_tasks_that_do_not_go_together_are_refused(changed: dict, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Suite(**({"name": "s", "summary": "", "tasks": TASKS} | changed))
    assert str(refused.value).startswith(f"suite {changed.get('name', 's')}, {said}")


WRONG_TASK = """
from benchmarks.suites.spec import Suite, Task
TASK = Task("t", summary="", dataset="d", config="", revision="1", inputs=("a",), metrics=())
SUITE = Suite("s", "", (TASK,))
"""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("no_suite", "SUITES = []", "defines no SUITE"),
        ("other_suite", "SUITE = 'mine'", "defines no SUITE"),
        ("wrong_task", WRONG_TASK, "task t, metrics: there is none"),
    ],
)
def test_a_file_that_is_no_suite_is_named(
    name: str, text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    monkeypatch.setattr(benchmarks.suites, "__path__", [*benchmarks.suites.__path__, str(tmp_path)])
    with pytest.raises(InvalidInput, match=said) as refused:
        all_suites()
    assert str(refused.value).startswith(str(path))

"""Tasks whose answers are free text: what is learnt, what is written, and how it is scored, by a metric of one's own too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from tiny_cli import mtl_lora, predictions
from tiny_mirror import CAUSAL, make_mirror
from tiny_plugins import forgotten_plugins

from benchmarks.answering.log_likelihood import IGNORED
from benchmarks.answering.registry import recorded_answer_mode
from benchmarks.answering.responses import Generation
from benchmarks.data.splits import load_task
from benchmarks.metrics.registry import METRICS, OF_TEXTS
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput

GUIDE = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text()
(METRIC,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.S)
TASKS = [
    {"name": name, "files": "rows.jsonl", "inputs": inputs, "label_column": "output", "written": True, "metrics": metrics}
    for name, inputs, metrics in (
        ("short", ["instruction"], ["exact_match", "rouge_l"]),
        ("long", ["instruction", "input"], ["same_length"]),
    )
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite file, with its rows, a metric and a model beside it."""
    folder = make_mirror(tmp_path_factory.mktemp("mirror"))
    rows = [{"instruction": f"w{i} w{i + 1}", "input": f"w{i % 7}", "output": ["good", "bad"][i % 2]} for i in range(38)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "metric.py").write_text(METRIC)
    (folder / "answers.yaml").write_text(json.dumps({"name": "answers", "preset": "smollm2", "tasks": TASKS}))
    return folder / "answers.yaml"


@pytest.fixture(scope="module")
def run(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    results = tmp_path_factory.mktemp("results")
    model = ["--backbone", suite.parent / "models" / CAUSAL, "--precision", "float32", "--batch-size", "8"]
    more = [
        "--methods",
        "lora",
        "--rank",
        "2",
        "--answer",
        "generation:new_tokens=4",
        "--plugin",
        suite.parent / "metric.py",
    ]
    with forgotten_plugins():
        assert mtl_lora("run", suite, *model, *more, "--results", results) == 0
        yield RunStore(results)


def test_scores_are_those_of_what_was_written(run: RunStore, suite: Path) -> None:
    (record,) = run.finished()
    written = predictions(run, record.id)
    for task in find_suite(str(suite)).tasks:
        own, data = written[written["task"] == task.name], load_task(task, Source(), "test", None, None)
        answers = [dict(zip(data.test["row"], data.test["answers"], strict=True))[row] for row in own["row"]]
        for name in task.metrics:
            points = OF_TEXTS[name].points(own["text"].tolist(), answers)
            assert record.scores[task.name].metrics[name] == pytest.approx(points.mean())
    assert record.config.answering["way"] == "generation"


def test_answers_are_given_to_new_texts(run: RunStore, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (record,) = run.finished()
    (tmp_path / "new.txt").write_text("w1 w2\tw3\nw2 w3\tw4\n")
    capsys.readouterr()
    assert mtl_lora("predict", record.id, "--task", "long", tmp_path / "new.txt", "--results", run.folder) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert mtl_lora("report", "--results", run.folder) == 0


def test_the_answer_is_learnt_after_instruction_and_input(run: RunStore, suite: Path) -> None:
    tokenizer = Source().tokenizer(str(suite.parent / "models" / CAUSAL), None)
    task = find_suite(str(suite)).tasks[1]
    data = load_task(task, Source(), "test", None, None)
    row, text = Generation().tokens(data.train, task, tokenizer, 256, training=True)[0], data.train[0]
    learnt = [token for token in row["labels"] if token != IGNORED]
    assert tokenizer.decode(learnt) == f"{text['answers'][0]} {tokenizer.eos_token}" and row["input_ids"][-2:] == learnt
    read = tokenizer.decode(row["input_ids"])
    assert read.index(text["text"]) < read.index(text["text_pair"], read.index(text["text"]) + len(text["text"]))


def test_an_answer_ends_at_its_end(suite: Path) -> None:
    """Whatever the model's own settings let it write after that; the end may be named, and is learnt then."""
    tokenizer = Source().tokenizer(str(suite.parent / "models" / CAUSAL), None)
    task = Task("t", "", "", "", "", inputs=("x",), metrics=("exact_match",), written=True)
    good, bad, other, end = (tokenizer.convert_tokens_to_ids(word) for word in ("good", "bad", "w3", tokenizer.eos_token))
    made = np.array([[good, bad, end, other], [good, other, bad, bad]], dtype=float)
    assert Generation().answers(task, {"predictions": made}, tokenizer) == {"text": ["good bad", "good w3 bad bad"]}
    assert Generation(end=other).answers(task, {"predictions": made}, tokenizer) == {"text": ["good bad", "good"]}
    rows = Dataset.from_list([{"text": "w1", "answers": ["good"], "row": 0}])
    (row,) = Generation(end=other).tokens(rows, task, tokenizer, 99, training=True)
    assert row["input_ids"][-2:] == [good, other]
    with pytest.raises(InvalidInput, match="end must be one of the"):
        Generation(end=10**6).tokens(rows, task, tokenizer, 99, training=True)


def test_the_default_end_moves_no_id() -> None:
    assert "end" not in (recorded_answer_mode(Generation()) or {})
    assert (recorded_answer_mode(Generation(end=1)) or {})["end"] == 1


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    points = METRICS["rouge_l"].points(["the cat sat", "a cat", "", "b a"], [["the cat"], ["x", "a cat"], ["a"], ["a b c"]])
    assert points.tolist() == pytest.approx([0.8, 1.0, 0.0, 0.4])  # 2 of 3 and 2 of 2; the better answer; none; 1 of 2 and 3


def test_words_and_classes_are_two_suites(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pd.DataFrame({"text": ["w"], "label": ["a"]}).to_csv(tmp_path / "c.csv")
    other = {"name": "c", "files": "c.csv", "inputs": ["text"], "labels": ["a", "b"], "metrics": ["accuracy"]}
    own = TASKS[0] | {"files": str(suite.parent / "rows.jsonl")}
    (tmp_path / "s.yaml").write_text(json.dumps({"name": "mixed", "tasks": [own, other]}))
    assert mtl_lora("plan", tmp_path / "s.yaml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("s.yaml, suite mixed, tasks: short and c differ in written, which all of them are or none")

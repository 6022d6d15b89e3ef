"""Multiple choice from the command line to records and back, in every answer mode and both protocols."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_cli import mtl_lora, predictions
from tiny_mirror import CAUSAL, ENCODER, NO_DROPOUT, TEST_ROWS

from benchmarks.experiment.protocols import RELEASED
from benchmarks.records.store import RunStore

FAST = ["--epochs", "1", "--batch-size", "16", "--learning-rate", "0.01", "--precision", "float32", "--budget", "16500"]
ENCODED = ["--backbone", ENCODER, "--targets", "query,value,dense", *FAST]
GENERATED = ["--backbone", CAUSAL, "--pooling", "last", "--targets", "q_proj,k_proj,v_proj,o_proj,up_proj,down_proj", *FAST]


def run(tiny: Path, results: Path, *options: str) -> list[dict]:
    """The records of a finished ``mtl-lora run commonsense``."""
    assert mtl_lora("run", "commonsense", "--mirror", tiny, "--results", results, *options) == 0
    return RunStore(results).finished()


def test_an_encoder_learns_to_choose_by_pairs(tiny: Path, tmp_path: Path) -> None:
    tasks = ["boolq", "siqa", "arc-e"]
    options = [*ENCODED, "--methods", "lora,mtl-lora", "--epochs", "6", "--tasks", ",".join(tasks)]
    for record in run(tiny, tmp_path, *options):
        assert record.config.answering == {"way": "pairs"} and set(record.scores) == set(tasks)
        assert record.parameters.heads == 3 * 32
        assert record.score > 0.6, "good options are told from bad ones"
        assert all(s.unanswered == 0 and s.rows == TEST_ROWS for s in record.scores.values())


@pytest.mark.parametrize("answer", ["likelihood", "generation"])
def test_a_causal_model_answers_in_text(answer: str, tiny: Path, tmp_path: Path) -> None:
    options = [*GENERATED, "--answer", answer, "--tasks", "boolq,piqa", "--epochs", "6", "--methods", "full,heads-only"]
    trained, untrained = sorted(run(tiny, tmp_path, *options), key=lambda r: r.config.method.name)
    assert trained.config.answering["way"] == answer and trained.parameters.heads == 0
    assert untrained.training.steps == 0 and untrained.training.loss == () and untrained.score < 0.7
    assert trained.training.loss[-1] < 1.0 < trained.training.loss[0]
    table = predictions(RunStore(tmp_path), trained.id)
    for name, own in table.groupby("task", observed=True):
        score = trained.scores[name]
        assert score.score == pytest.approx((own["label"] == own["prediction"]).mean())
        assert score.unanswered == own["prediction"].isna().sum()
    if answer == "generation":
        said = table[table["prediction"].notna()]
        assert len(said) > len(table) / 2, "what the responses look like is learnt"
        assert all(any(word in text for word in ("true", "false", "solution")) for text in said["text"])


@pytest.mark.slow
def test_the_paper_protocol_is_each_methods_released_script(tiny: Path, tmp_path: Path, capsys) -> None:
    options = ["--preset", "paper", "--backbone", CAUSAL, "--protocol", "paper", "--precision", "float32"]
    records = run(tiny, tmp_path, *options, "--tasks", "boolq,arc-e", "--epochs", "1", "--batch-size", "16")
    assert {r.config.method.name for r in records} == set(RELEASED)
    parameters = {}
    for record in records:
        method = record.config.method
        assert (method.rank, method.settings["alpha"]) == (8, 16) and record.config.protocol == "paper"
        own, recipe = RELEASED[method.name], record.config.recipe  # what the record says is what trained
        assert (recipe.learning_rate, recipe.warmup) == (own.learning_rate, own.warmup)
        assert (record.config.backbone.max_length, record.config.answering["match"]) == (own.max_length, own.match)
        assert record.config.answering["prompt"] == "released"
        parameters[method.name] = record.parameters.adapter
    # Three B's of rank 8 against one, and three of both: 32 -> 32, 16 and 32, two layers of q, k, v, o.
    assert parameters["multilora"] > 2.9 * parameters["lora"] and parameters["mtl-lora"] > 1.7 * parameters["lora"]
    capsys.readouterr()
    assert mtl_lora("report", "--results", tmp_path) == 0
    shown = (tmp_path / "report" / "index.md").read_text()
    assert "Protocol paper, " in shown and "answered by generation" in shown and "unanswered, %" in shown
    assert "mtl-lora learning_rate 0.0003, warmup 0.01, max_length 256, match words-or-digits" in shown


def test_micro_batches_of_pairs_change_nothing(tiny: Path, tmp_path: Path) -> None:
    common = [*ENCODED, "--backbone", NO_DROPOUT, "--methods", "mtl-lora", "--tasks", "siqa,arc-e"]
    (plain,) = run(tiny, tmp_path / "plain", *common)
    (other,) = run(tiny, tmp_path / "other", *common, "--accumulation", "4")
    assert other.training.loss == pytest.approx(plain.training.loss, rel=1e-3)


@pytest.mark.parametrize("options", [ENCODED, [*GENERATED, "--answer", "likelihood"]], ids=["pairs", "likelihood"])
def test_predict_gives_the_answers_of_the_record(options: list[str], tiny: Path, tmp_path: Path, capsys) -> None:
    (record,) = run(tiny, tmp_path, *options, "--methods", "mtl-lora", "--tasks", "obqa,boolq")
    rows = json.loads((tiny / "datasets/AGI-Edgerunners/LLM-Adapters/dataset/openbookqa/test.json").read_text())
    (tmp_path / "in.txt").write_text("".join(row["instruction"].replace("\n", "\\n") + "\n" for row in rows))
    common = [record.id, "--task", "obqa", "--results", tmp_path, "--mirror", tiny]
    capsys.readouterr()
    assert mtl_lora("predict", *common, tmp_path / "in.txt") == 0
    own = predictions(RunStore(tmp_path), record.id).query("task == 'obqa'").sort_values("row")["prediction"]
    assert capsys.readouterr().out.split() == [f"answer{int(place) + 1}" for place in own]
    assert mtl_lora("export", *common[:3], "--to", tmp_path / "out", *common[3:]) == 0
    assert (tmp_path / "out" / "head.safetensors").exists() == (options is ENCODED)
    (tmp_path / "in.txt").write_text("what?\n")
    assert mtl_lora("predict", *common, tmp_path / "in.txt") == 2
    assert "line 1 is no instruction of task obqa: its instruction has no 'Answer format:'" in capsys.readouterr().err


BAD = {
    "heads": (
        ["commonsense", *ENCODED, "--answer", "heads"],
        "suite commonsense is answered by: bi-encoder, likelihood, cloze, generation; not by heads",
    ),
    "pairs": (["nlu", *ENCODED, "--answer", "pairs"], "suite nlu is answered by: heads; not by bi-encoder"),
    "encoder": (
        ["commonsense", *ENCODED, "--answer", "generation"],
        "generation needs a language model; "
        "tiny/encoder is an encoder, read by its mean ("
        "--pooling last for a language model; "
        "multiple choice: --answer bi-encoder)",
    ),
    "way": (
        ["commonsense", *ENCODED, "--answer", "guess"],
        "unknown answer mode 'guess'; known: heads, bi-encoder, likelihood, cloze, generation, vision-language",
    ),
    "setting": (
        ["commonsense", *GENERATED, "--answer", "generation:beams=4"],
        "unknown setting of generation 'beams'; known: loss, prompt, match, new_tokens, end",
    ),
    "loss": (["commonsense", *GENERATED, "--answer", "generation:loss=none"], "unknown loss 'none'; known: response, all"),
    "texts": (["nlu", *ENCODED, "--answer", "heads:texts=x"], "unknown reading of texts 'x'; known: together, apart"),
    "protocol": (
        ["commonsense", *ENCODED, "--protocol", "mine"],
        "unknown protocol 'mine'; known: matched, tuned, tuned-reduced, tuned-halved, paper",
    ),
    "budget": (
        ["commonsense", *GENERATED, "--protocol", "paper"],
        "protocol paper has the released rank: --budget goes with other protocols",
    ),
    "method": (
        ["commonsense", *GENERATED[:-2], "--protocol", "paper", "--methods", "full"],
        "unknown method of protocol paper 'full'; known: lora, dora, multilora, moelora, mtl-lora",
    ),
    "paper": (
        ["commonsense", *ENCODED[:-2], "--protocol", "paper"],
        "protocol paper follows the released commonsense scripts: a causal model that generates answers",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(case: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    arguments, message = BAD[case]
    assert mtl_lora("run", *arguments, "--mirror", tiny, "--results", tmp_path) == 2
    shown = capfd.readouterr().err.strip().splitlines()
    assert len(shown) == 1 and shown[0] == f"mtl-lora: {message}", shown
    assert not list(tmp_path.glob("runs/*"))


def test_pairs_of_texts_can_be_read_apart_in_any_suite(tiny: Path, tmp_path: Path) -> None:
    options = ["--mirror", tiny, "--results", tmp_path, *ENCODED, "--methods", "mtl-lora", "--tasks", "rte,stsb,cola"]
    assert mtl_lora("run", "nlu", *options, "--answer", "heads:texts=apart", "--epochs", "4") == 0
    (record,) = RunStore(tmp_path).finished()
    assert record.config.answering == {"way": "heads", "texts": "apart"}
    assert record.parameters.heads == 5 * 65
    table = pd.read_parquet(tmp_path / "runs" / f"{record.id}.predictions.parquet")
    assert np.isfinite(table["prediction"]).all()
    assert record.training.loss[-1] < 0.9 * record.training.loss[0]

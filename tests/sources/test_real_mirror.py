"""Real data and real weights, where there is a mirror of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_cli import mtl_lora
from tiny_models import ALL_METHODS, method_id

from benchmarks.answering.bi_encoder import BiEncoder
from benchmarks.data.splits import load_task
from benchmarks.experiment.presets import PRESETS
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode
from mtl_lora import AdaptedModel, Method, MTLLoRA

GLUE_TEST_ROWS = {"cola": 1043, "sst2": 872, "mrpc": 408, "stsb": 1500, "qnli": 5463, "rte": 277}  # validation splits


def test_the_real_glue_has_the_public_sizes_and_labels(mirror: Path) -> None:
    for task in find_suite("nlu").tasks:
        rows = Source(mirror).rows(task, task.test_split)
        assert len(rows) == GLUE_TEST_ROWS.get(task.name, len(rows))
        labels = rows[task.label_column]
        if task.graded:
            assert 0 <= min(labels) and max(labels) <= 5
        else:
            assert set(labels) == set(range(len(task.labels)))
            assert rows.features[task.label_column].names == list(task.labels)


@pytest.mark.parametrize("method", ALL_METHODS, ids=method_id)
def test_minilm_adapted_at_its_start_equals_minilm(method: Method, mirror: Path) -> None:
    backbone, source = PRESETS["small"].backbone, Source(mirror)
    batch = source.tokenizer(backbone.id, None)(["Two men play.", "Is it raining?"], padding=True, return_tensors="pt")
    base = source.model(backbone.id, None, torch.float32)(**batch).last_hidden_state
    model = AdaptedModel(source.model(backbone.id, None, torch.float32), method, ["a", "b"], backbone.targets)
    torch.testing.assert_close(model(**batch, task_ids=["a", "b"]).last_hidden_state, base, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_minilm_learns_sentiment_and_similarity_in_a_minute(mirror: Path, tmp_path: Path) -> None:
    options = ["--methods", "mtl-lora", "--tasks", "sst2,stsb", "--max-train", "600", "--max-eval", "300"]
    options += ["--epochs", "2", "--learning-rate", "2e-3"]
    assert mtl_lora("run", "nlu", "--mirror", mirror, "--results", tmp_path, *options) == 0
    (record,) = RunStore(tmp_path).finished()
    assert record.parameters.base == 22_565_376
    assert record.config.backbone.weights.weights_sha256.startswith("53aa5117")
    assert record.scores["sst2"].score > 0.7 and record.scores["stsb"].score > 0.5


@pytest.mark.slow
def test_the_paper_preset_trains_a_real_llama_shaped_model(mirror: Path, tmp_path: Path) -> None:
    model = ["--preset", "paper", "--backbone", "tinystories/stories260k", "--budget", "19700"]
    limits = ["--max-train", "32", "--max-eval", "16", "--epochs", "1", "--methods", "mtl-lora"]
    assert mtl_lora("run", "nlu", *model, *limits, "--mirror", mirror, "--results", tmp_path) == 0
    (record,) = RunStore(tmp_path).finished()
    assert record.config.precision == "bfloat16" and record.training.steps == 8


COMMONSENSE_TEST_ROWS = {"piqa": 1838, "siqa": 1954, "winogrande": 1267, "arc-e": 2376, "arc-c": 1172, "obqa": 500}


def test_the_real_commonsense_sets_have_the_public_sizes_and_every_row_is_understood(mirror: Path) -> None:
    source = Source(mirror)
    for task in find_suite("commonsense").tasks:
        data = load_task(task, source, "test", None, None)
        assert len(data.test) == COMMONSENSE_TEST_ROWS.get(task.name, 3000)
        options = [len(own) for own in data.test["options"]]
        assert min(options) >= 2 and max(options) <= len(task.labels)
        assert all(option for own in data.test["options"] for option in own)


def test_no_scored_query_of_the_real_ads_sets_is_trained_on(mirror: Path) -> None:
    for task in find_suite("ads").tasks[:2]:
        data = load_task(task, Source(mirror), "test", None, None)
        assert len(data.train) > 7000 and not set(data.train["query"]) & set(data.test["query"])


@pytest.mark.slow
def test_minilm_untrained_answers_by_similarity(mirror: Path) -> None:
    """The cosine of question and option alone gives ARC-Easy 51.5% on all rows; a quarter would be guessing."""
    backbone, source, mode = PRESETS["small"].backbone, Source(mirror), BiEncoder()
    (task,) = find_suite("commonsense").select(["arc-e"])
    data = [load_task(task, source, "test", 10, 400)]
    tokenizer = source.tokenizer(backbone.id, None)
    _, test = encode(data, tokenizer, mode, backbone.max_length)
    base = source.model(backbone.id, None, torch.float32)
    model = mode.model(AdaptedModel(base, MTLLoRA(rank=4), ["arc-e"], backbone.targets), [task], "mean", 0).eval()
    right = 0
    with torch.no_grad():
        for start in range(0, 400, 50):
            batch = Collator(mode, tokenizer)(list(test.select(range(start, start + 50))))
            right += (model(**batch)["predictions"] == batch["labels"]).sum().item()
    assert 0.44 < right / 400 < 0.59


@pytest.mark.slow
def test_the_released_protocol_on_a_real_llama_shaped_model(mirror: Path, tmp_path: Path) -> None:
    """The same untrained knowledge, two evaluators: digits count as answers for MTL-LoRA and not for LoRA."""
    model = ["--preset", "paper", "--protocol", "paper", "--backbone", "tinystories/stories260k", "--tasks", "boolq,arc-e"]
    limits = ["--max-train", "32", "--max-eval", "16", "--epochs", "1", "--methods", "lora,mtl-lora"]
    assert mtl_lora("run", "commonsense", *model, *limits, "--mirror", mirror, "--results", tmp_path) == 0
    lora, mtl = sorted(RunStore(tmp_path).finished(), key=lambda record: record.config.method.name)
    assert lora.scores["arc-e"].unanswered == 16 >= mtl.scores["arc-e"].unanswered
    texts = pd.read_parquet(tmp_path / "runs" / f"{lora.id}.predictions.parquet")["text"]
    assert len(texts) == 32 and texts.str.len().gt(0).any()

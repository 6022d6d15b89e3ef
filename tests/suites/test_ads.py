"""Relevance: metrics of rankings and grades, queries kept apart, classes counted alike, texts read apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as sk
from tiny_mirror import ENCODER, make_mirror
from tiny_models import tiny_bert

from baselines.lora import LoRA
from benchmarks.answering.heads import Heads
from benchmarks.data.splits import load_task
from benchmarks.metrics.base import Rows
from benchmarks.metrics.grades import ndcg, quadratic_kappa
from benchmarks.scoring.evaluate import evaluate_labels
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode
from mtl_lora import AdaptedModel, InvalidInput

HOME_DEPOT, CROWDFLOWER, AMAZON_GOOGLE, *_, WELLFORMED = find_suite("ads").tasks


@pytest.fixture
def rows() -> Rows:
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 5, 300).astype(float)
    noisy = np.clip(labels + rng.normal(size=300).round(1), 1, 4)  # rounded, so that some are equal
    return Rows(labels, noisy, queries=rng.integers(40, size=300), lowest=1)


def test_ndcg_is_the_mean_of_scikit_learns_over_queries(rows: Rows) -> None:
    each = []
    for query in np.unique(rows.queries):
        own = rows.queries == query
        if np.ptp(rows.labels[own]) > 0:
            each.append(sk.ndcg_score([rows.labels[own] - 1], [rows.predictions[own]]))
    assert len(each) > 30 and ndcg(rows) == pytest.approx(np.mean(each))


def test_ndcg_of_the_best_and_of_no_ranking(rows: Rows) -> None:
    assert ndcg(replace(rows, predictions=rows.labels)) == pytest.approx(1)
    shuffled = replace(rows, predictions=np.random.default_rng(1).permutation(rows.labels))
    constant = ndcg(replace(rows, predictions=np.ones(300)))
    assert constant == pytest.approx(ndcg(shuffled), abs=0.05) and constant < 0.9
    assert ndcg(replace(rows, queries=np.arange(300))) == 0  # one row per query ranks nothing


def test_quadratic_kappa_against_its_definition(rows: Rows) -> None:
    predicted = np.round(rows.predictions)
    table = np.array([[np.mean((rows.labels == i) & (predicted == j)) for j in range(1, 5)] for i in range(1, 5)])
    cost = np.subtract.outer(range(4), range(4)) ** 2
    expected = 1 - (cost * table).sum() / (cost * np.outer(table.sum(1), table.sum(0))).sum()
    assert quadratic_kappa(rows) == pytest.approx(expected)
    # Grade 3 does not occur: 2 and 4 are two apart nonetheless.
    few = replace(rows, labels=np.array([1.0, 2, 4, 4]), predictions=np.array([1.0, 4, 4, 2]))
    assert quadratic_kappa(few) == pytest.approx(1 - 8 / 13.5)
    assert quadratic_kappa(replace(rows, labels=np.ones(300), predictions=np.ones(300))) == 0


def test_average_precision_needs_how_sure_a_model_is() -> None:
    labels, confidence = np.array([0.0, 1, 0, 1]), np.array([0.1, 0.9, 0.6, 0.4])
    scored = evaluate_labels(AMAZON_GOOGLE, Rows(labels, (confidence > 0.5).astype(float), confidence), labels)
    assert scored.metrics == {"f1": pytest.approx(0.5), "average_precision": pytest.approx((1 + 2 / 3) / 2)}
    assert scored.unanswered is None


def test_whole_queries_are_resampled(rows: Rows, resamples: None) -> None:
    """Rows that are copies of each other within their query hold no more than one: the error must not shrink."""
    once = evaluate_labels(CROWDFLOWER, rows, rows.labels).standard_error
    places = np.repeat(np.arange(300), 9)
    copied = replace(rows, labels=rows.labels[places], predictions=rows.predictions[places], queries=rows.queries[places])
    assert evaluate_labels(CROWDFLOWER, copied, rows.labels).standard_error == pytest.approx(once, rel=0.3)
    apart = evaluate_labels(CROWDFLOWER, replace(copied, queries=np.arange(2700)), rows.labels).standard_error
    assert apart < once / 2


def ads_mirror(folder: Path, task, train: pd.DataFrame, test: pd.DataFrame) -> Source:
    data = folder / "datasets" / task.dataset / task.config
    data.mkdir(parents=True)
    train.to_parquet(data / "train.parquet")
    test.to_parquet(data / "test.parquet")
    card = f"---\nconfigs:\n- config_name: {task.config}\n  data_files:\n"
    card += "".join(f"  - split: {split}\n    path: {task.config}/{split}.parquet\n" for split in ("train", "test"))
    (data.parent / "README.md").write_text(card + "---\n")
    return Source(folder)


def queries(count: int, of: int, start: int) -> pd.DataFrame:
    """``count`` rows over queries q<start> .. q<start + of - 1>."""
    names = [f"q{start + i % of}" for i in range(count)]
    return pd.DataFrame(
        {"query": names, "title": [f"t{i}" for i in range(count)], "relevance": [1.0 + i % 3 for i in range(count)]}
    )


@pytest.mark.parametrize("split", ["test", "dev"])
@pytest.mark.parametrize("limit", [None, 7])
def test_no_scored_query_is_trained_on(split: str, limit: int | None, tmp_path: Path) -> None:
    task = replace(HOME_DEPOT, scale=(1.0, 3.0))
    source = ads_mirror(tmp_path, task, queries(400, 80, 0), queries(60, 20, 70))  # q70 to q79 are in both
    data = load_task(task, source, split, None, limit)
    trained, scored = set(data.train["query"]), set(data.test["query"])
    assert not trained & scored and not trained & {f"q{i}" for i in range(70, 90)}
    assert (
        load_task(task, source, "test", None, None).train["row"] == load_task(task, source, "dev", None, None).train["row"]
    )
    if split == "dev":
        assert len(data.test) == (limit or 40) and scored <= {f"q{i}" for i in range(80)}
    else:
        assert len(data.test) == (limit or 60) and scored <= {f"q{i}" for i in range(70, 90)}
    if limit:  # whole queries come first
        assert len(scored) == {"test": 3, "dev": 2}[split]


def test_published_splits_that_share_queries_are_split_by_query(tmp_path: Path) -> None:
    task = replace(HOME_DEPOT, split_by_query=True)
    source = ads_mirror(tmp_path, task, queries(400, 80, 0), queries(400, 80, 0))
    data = load_task(task, source, "test", None, None)
    trained, scored = set(data.train["query"]), set(data.test["query"])
    assert not trained & scored and 8 <= len(scored) <= 24 and len(trained) > 40


@pytest.mark.parametrize(
    ("relevance", "message"),
    [(3.5, "row 2: label 3.5 is not from 1 to 3"), (None, "row 2: label (None|nan) is not from 1 to 3")],
)
def test_a_grade_outside_its_range_names_file_and_row(relevance: float | None, message: str, tmp_path: Path) -> None:
    train = queries(30, 10, 0)
    train.loc[2, "relevance"] = relevance
    source = ads_mirror(tmp_path, HOME_DEPOT, train, queries(6, 2, 20))
    with pytest.raises(InvalidInput, match=f"ads-relevance, home_depot, train, {message}"):
        load_task(HOME_DEPOT, source, "test", None, None)


def test_a_class_outside_its_range_and_a_missing_text(tmp_path: Path) -> None:
    good = pd.DataFrame({"left": ["a"] * 30, "right": ["b"] * 30, "label": [0, 1] * 15})
    for name, bad, message in (
        ("class", {"label": 2}, "train, row 4: label 2 is not one of 0 no, 1 yes"),
        ("text", {"right": None}, "train, row 4: right is None, not text"),
    ):
        train = good.copy()
        train.loc[4, list(bad)] = list(bad.values())
        source = ads_mirror(tmp_path / name, AMAZON_GOOGLE, train, good)
        with pytest.raises(InvalidInput, match=message):
            load_task(AMAZON_GOOGLE, source, "test", None, None)


def test_both_classes_weigh_alike_in_training_alone(tmp_path: Path) -> None:
    frame = pd.DataFrame({"left": ["w1 w2"] * 50, "right": ["w3"] * 50, "label": [1] * 5 + [0] * 45})
    data = load_task(AMAZON_GOOGLE, ads_mirror(tmp_path, AMAZON_GOOGLE, frame, frame), "test", None, None)
    weights, labels = np.array(data.train["weight"]), np.array(data.train["label"])
    assert weights.mean() == pytest.approx(1)
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert "weight" not in data.test.column_names


def test_texts_read_apart_equal_a_loop_and_weights_weigh_the_loss(tmp_path: Path) -> None:
    make_mirror(tmp_path)
    frame = pd.DataFrame({"left": ["w1 w2", "w5"] * 10, "right": ["w3", "w6 w7 w8"] * 10, "label": [1] * 4 + [0] * 16})
    single = pd.DataFrame({"content": ["w1", "w2 w3"] * 10, "rating": [0.0, 0.5] * 10})
    ads_mirror(tmp_path / "pairs", AMAZON_GOOGLE, frame, frame)
    data = [
        load_task(AMAZON_GOOGLE, Source(tmp_path / "pairs"), "test", None, None),
        load_task(WELLFORMED, ads_mirror(tmp_path / "single", WELLFORMED, single, single), "test", None, None),
    ]
    mode, tokenizer = Heads("apart"), Source(tmp_path).tokenizer(ENCODER, None)
    backbone = AdaptedModel(tiny_bert(), LoRA(rank=2), ["a", "b"], ["query"])
    model = mode.model(backbone, [d.task for d in data], "mean", seed=0).eval()
    train, _ = encode(data, tokenizer, mode, 16)
    rows = [train[i] for i in (0, 30, 1, 20, 2, 3, 33)]
    batch = Collator(mode, tokenizer)(rows)
    result = model(**batch)
    losses = []
    for row, prediction in zip(rows, result["predictions"], strict=True):
        vectors = []
        for ids in row["input_ids"]:
            hidden = backbone(torch.tensor([ids]), task_ids=[row["task_ids"]]).last_hidden_state[0].mean(0)
            vectors.append(F.normalize(hidden, dim=0) * 32**0.5)
        if row["task_ids"] == 0:
            features = torch.cat([vectors[0] * vectors[1], (vectors[0] - vectors[1]).abs()])
            logits = F.linear(features, model.heads.weight[:2], model.heads.bias[:2])
            losses.append(row["weight"] * F.cross_entropy(logits, torch.tensor(int(row["labels"]))))
            assert prediction == logits.argmax()
        else:
            assert len(vectors) == 1
            logit = model.heads.weight[2, :32] @ vectors[0] + model.heads.bias[2]
            losses.append(F.binary_cross_entropy_with_logits(logit, torch.tensor(row["labels"])))
            torch.testing.assert_close(prediction, logit.sigmoid())
    torch.testing.assert_close(result["loss"], torch.stack(losses).mean())
    assert mode.head_parameters([d.task for d in data], backbone) == sum(p.numel() for p in model.heads.parameters())

"""Rows, order, task sampling; heads and losses of a mixed batch; metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn import metrics as sk
from tiny_mirror import CAUSAL, ENCODER, TEST_ROWS, TRAIN_ROWS, make_mirror
from tiny_models import tiny_bert

from baselines.lora import LoRA
from benchmarks.answering.head_model import HeadModel
from benchmarks.answering.heads import Heads
from benchmarks.data.splits import load_task
from benchmarks.metrics.base import Rows
from benchmarks.records.recipe import Recipe, steps
from benchmarks.scoring.evaluate import evaluate_labels
from benchmarks.sources import Source
from benchmarks.suites import all_suites, find_suite
from benchmarks.training.batches import BUCKET_BATCHES, Collator, encode, lengths, schedule
from mtl_lora import AdaptedModel

NLU = find_suite("nlu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(make_mirror(tmp_path_factory.mktemp("mirror")))


@pytest.mark.parametrize("suite", all_suites().values(), ids=lambda s: s.name)
def test_every_task_is_well_formed(suite) -> None:
    for task in suite.tasks:
        assert task.summary
        assert task.revision or "/" not in task.dataset or task.dataset.startswith("image-text/")  # a revision, if on a hub


def test_rows_set_apart_are_never_trained_on(source: Source) -> None:
    task = NLU.tasks[0]
    test, dev = load_task(task, source, "test", None, None), load_task(task, source, "dev", None, None)
    assert test.train["row"] == dev.train["row"] and test.fingerprint != dev.fingerprint
    assert len(dev.test) == TRAIN_ROWS // 10 and len(test.test) == TEST_ROWS
    assert sorted([*dev.train["row"], *dev.test["row"]]) == list(range(TRAIN_ROWS))


def test_limits_cut_the_same_rows_for_everyone(source: Source) -> None:
    task = NLU.tasks[0]
    whole, cut = load_task(task, source, "test", None, None), load_task(task, source, "test", 10, 5)
    assert cut.train["row"] == whole.train["row"][:10] and cut.test["row"] == whole.test["row"][:5]


SIZES = [100, 400, 1500]


def recipe(**changes) -> Recipe:
    return Recipe(**({"epochs": 2, "batch_size": 16, "learning_rate": 1e-3} | changes))


def order(the_recipe: Recipe, seed: int = 0) -> np.ndarray:
    row_lengths = np.random.default_rng(0).integers(5, 60, sum(SIZES))
    return schedule(SIZES, row_lengths, the_recipe, seed)


def test_proportional_sampling_uses_every_row_once_an_epoch() -> None:
    rows = order(recipe())
    assert len(rows) == steps(SIZES, recipe()) * 16
    counts = np.bincount(rows, minlength=sum(SIZES))
    assert counts.max() == 2 and counts.sum() >= 2 * sum(SIZES) - 16


@pytest.mark.parametrize("temperature", [1.5, 2.0, 5.0])
def test_temperature_sampling_draws_tasks_by_their_sizes_power(temperature: float) -> None:
    rows = order(recipe(sampling="temperature", temperature=temperature))
    share = np.array(SIZES) ** (1 / temperature)
    drawn = np.histogram(rows, bins=np.cumsum([0, *SIZES]))[0]
    np.testing.assert_allclose(drawn / len(rows), share / share.sum(), atol=0.01)
    for start, size in zip(np.cumsum([0, *SIZES]), SIZES, strict=False):  # evenly within a task
        counts = np.bincount(rows - start, minlength=size)[:size] if start == 0 else np.bincount(rows)[start : start + size]
        assert counts.max() - counts.min() <= 2


def test_batches_mix_tasks_and_hold_rows_of_similar_length() -> None:
    row_lengths = np.random.default_rng(0).integers(5, 60, sum(SIZES))
    batches = order(recipe()).reshape(-1, 16)
    tasks_in_a_batch = [len(set(np.digitize(batch, np.cumsum(SIZES)))) for batch in batches]
    assert np.mean(tasks_in_a_batch) > 2
    spread = np.mean([np.ptp(row_lengths[batch]) for batch in batches[:BUCKET_BATCHES]])
    assert spread < 10 < np.ptp(row_lengths)


def test_the_order_depends_on_the_seed_alone() -> None:
    assert (order(recipe()) == order(recipe())).all() and (order(recipe()) != order(recipe(), seed=1)).any()


@pytest.mark.parametrize("backbone", [ENCODER, CAUSAL])
def test_batches_hold_each_rows_own_task_and_label(source: Source, backbone: str) -> None:
    data = [load_task(task, source, "test", None, None) for task in NLU.tasks]
    tokenizer = source.tokenizer(backbone, None)
    train, test = encode(data, tokenizer, Heads(), 16)
    assert len(train) == 8 * (TRAIN_ROWS - TRAIN_ROWS // 10) and len(test) == 8 * TEST_ROWS
    assert (np.diff(lengths(test)) <= 0).all() and lengths(test).max() <= 16
    batch = Collator(Heads(), tokenizer)([test[i] for i in range(0, len(test), 7)])
    for i, row in enumerate(test[j] for j in range(0, len(test), 7)):
        own = data[row["task_ids"]].test
        raw = own[own["row"].index(row["row"])]
        assert batch["labels"][i].item() == pytest.approx(raw["label"])
        text = tokenizer.decode(batch["input_ids"][i, : int(batch["attention_mask"][i].sum())])
        assert raw["text"].split()[0] in text
        assert batch["task_ids"][i].item() == row["task_ids"]


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_heads_and_losses_of_a_mixed_batch_equal_those_task_by_task(pooling: str) -> None:
    tasks = [NLU.tasks[i] for i in (0, 4, 5)]  # two classes, a grade, three classes
    model = HeadModel(AdaptedModel(tiny_bert(), LoRA(rank=2), ["a", "b", "c"], ["query"]), tasks, pooling, seed=0)
    ids = torch.randint(3, 50, (6, 7))
    mask = torch.ones_like(ids)
    mask[::2, 5:] = 0
    task_ids, labels = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1.0, 2.5, 2.0, 0.0, 5.0, 1.0])
    result = model(ids, mask, task_ids, labels)
    hidden = model.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    heads = [(0, 2), (2, 3), (3, 6)]
    losses = []
    for i in range(6):
        real = hidden[i, : int(mask[i].sum())]
        start, stop = heads[task_ids[i]]
        logits = F.linear(real.mean(0) if pooling == "mean" else real[-1], model.heads.weight, model.heads.bias)[start:stop]
        if tasks[task_ids[i]].graded:
            losses.append(F.binary_cross_entropy_with_logits(logits[0], labels[i] / 5))
            expected = 5 * torch.sigmoid(logits[0])
        else:
            losses.append(F.cross_entropy(logits, labels[i].long()))
            expected = logits.argmax().float()
        torch.testing.assert_close(result["predictions"][i], expected)
    torch.testing.assert_close(result["loss"], torch.stack(losses).mean())
    result["loss"].backward()
    assert model.heads.weight.grad.isfinite().all()


def test_metrics_against_their_libraries(resamples: None) -> None:
    rng = np.random.default_rng(0)
    labels, wrong = rng.integers(2, size=200).astype(float), rng.random(200) < 0.3
    predictions = np.where(wrong, 1 - labels, labels)
    mrpc = evaluate_labels(NLU.tasks[2], Rows(labels, predictions), labels)
    f1, accuracy = sk.f1_score(labels, predictions), (labels == predictions).mean()
    assert mrpc.metrics == {"f1": pytest.approx(f1), "accuracy": pytest.approx(accuracy)}
    assert mrpc.score == pytest.approx((f1 + accuracy) / 2)
    sst2 = evaluate_labels(NLU.tasks[1], Rows(labels, predictions), labels)
    assert sst2.standard_error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 200), rel=0.15)
    assert sst2.majority == max(labels.mean(), 1 - labels.mean())
    grades = rng.random(200) * 5
    noisy = grades + rng.normal(size=200)
    stsb = evaluate_labels(NLU.tasks[4], Rows(grades, noisy), grades)
    assert stsb.metrics["spearman"] == pytest.approx(stats.spearmanr(grades, noisy).statistic)
    assert stsb.majority == 0

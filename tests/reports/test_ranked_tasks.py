"""Methods on tasks that are ranked by query: compared on the same drawn queries, where predictions name them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from tiny_cli import mtl_lora
from tiny_study import RESULTS, run_of

from benchmarks.records.store import RunStore
from mtl_lora import InvalidInput
from reports.evidence.comparison import compare
from reports.evidence.results import Results
from reports.evidence.significance import RESAMPLES, PairedTests, paired_tests

TASK = "home_depot"  # the first of its suite
STORE = RunStore(RESULTS / "ads")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One committed run each of LoRA and MTL-LoRA."""
    (tmp_path / "runs").mkdir()
    for record in STORE.finished():
        config = record.config
        if config.method.label in ("lora", "mtl-lora") and (config.seed, config.max_train) == (0, 600):
            for path in (STORE.record_path(record.id), STORE.predictions_path(record.id)):
                shutil.copy(path, tmp_path / "runs")
    return tmp_path


def judged(folder: Path) -> PairedTests:
    results = Results(folder)
    (comparison,) = compare(results.records)
    (paired,) = paired_tests(comparison, results).values()
    return paired


def change(folder: Path, method: str, **columns: object) -> None:
    """Give the predictions of a method other columns; None takes one away."""
    results = Results(folder)
    path = results.predictions_path(run_of(results, method))
    kept = pd.read_parquet(path).drop(columns=[name for name, values in columns.items() if values is None])
    kept.assign(**{name: values for name, values in columns.items() if values is not None}).to_parquet(path, index=False)


def ndcg(rows: pd.DataFrame) -> float:
    """NaN where all are equally relevant, which tells nothing."""
    return float("nan") if rows["label"].nunique() == 1 else ndcg_score([rows["label"] - 1], [rows["prediction"]])


def test_the_variance_is_that_of_a_plain_bootstrap_of_whole_queries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.evidence.significance.RESAMPLES", 40)
    results, scores = Results(folder), []
    for method in ("mtl-lora", "lora"):
        frame = results.predictions(run_of(results, method))
        rows = dict(list(frame[frame["task"] == TASK].groupby("query")))
        by_query, rng, names = {name: ndcg(own) for name, own in rows.items()}, np.random.default_rng(0), sorted(rows)
        for _ in range(40):
            drawn = [names[i] for i in rng.integers(len(names), size=len(names))]
            together = pd.concat([rows[name] for name in drawn])
            correlation = spearmanr(together["label"], together["prediction"]).statistic
            scores.append(50 * (correlation + np.nanmean([by_query[name] for name in drawn])))
    found = judged(folder).difference("mtl-lora", "lora", TASK)
    assert found.rows_variance == pytest.approx(np.var(np.subtract(scores[:40], scores[40:]), ddof=1), rel=1e-6)


def test_methods_that_share_queries_are_told_apart_by_less(folder: Path) -> None:
    paired = judged(folder)
    change(folder, "lora", query=None)
    apart = judged(folder)
    assert not paired.unpaired and apart.unpaired
    for task in (TASK, "crowdflower", "mean"):
        own, other = paired.difference("mtl-lora", "lora", task), apart.difference("mtl-lora", "lora", task)
        assert own.value == other.value and own.half < 0.95 * other.half
    errors = [record.scores[TASK].standard_error for record in Results(folder).records]
    assert apart.difference("mtl-lora", "lora", TASK).rows_variance == pytest.approx(1e4 * np.square(errors).sum(), rel=0.1)
    assert RESAMPLES == 1000


def test_a_footnote_says_so_only_where_queries_are_not_named(folder: Path) -> None:
    for named in (True, False):
        assert mtl_lora("report", "--results", folder) == 0
        told = "not paired where predictions do not name queries" in (folder / "report" / "index.html").read_text()
        assert told is not named
        change(folder, "mtl-lora", query=None) if named else None


def test_rows_of_other_queries_are_refused(folder: Path) -> None:
    results = Results(folder)
    frame = results.predictions(run_of(results, "mtl-lora"))
    change(folder, "mtl-lora", query="other " + frame["query"])
    with pytest.raises(InvalidInput, match=f"are not of the same rows of task {TASK}"):
        judged(folder)


def test_scores_that_do_not_follow_from_queries_leave_a_record_out(folder: Path, capsys: pytest.CaptureFixture) -> None:
    change(folder, "mtl-lora", query="one for all")
    assert len(Results(folder).records) == 1
    assert f"its predictions of task {TASK} score" in capsys.readouterr().err

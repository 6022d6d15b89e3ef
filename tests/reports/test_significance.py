"""Resampled scores and paired differences of records, against closed forms, scikit-learn and simulation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny_cli import mtl_lora
from tiny_study import SCORED, run_of, study

from benchmarks.metrics.base import Rows
from benchmarks.metrics.registry import OF_LABELS
from benchmarks.records.schema import to_json
from benchmarks.records.store import RunStore
from benchmarks.scoring import evaluate
from benchmarks.scoring.evaluate import evaluate_labels, task_score
from benchmarks.scoring.resampling import draw, weighted_scores
from benchmarks.suites import find_suite
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput
from reports.evidence.comparison import compare
from reports.evidence.differences import LEVEL, holm, judge
from reports.evidence.families import by_pictures, of_pictures
from reports.evidence.results import PUBLISHED, Results
from reports.evidence.significance import PairedTests, improvement, paired_tests, resample
from reports.figures.scores import pareto_front
from reports.tables.glossary import GLOSSARY
from reports.tables.scores import score_table
from reports.tables.significance import sentences

ROWS = 60


def paired(results: Results, margin: float = 1.0) -> PairedTests:
    (comparison,) = compare(results.records)
    return paired_tests(comparison, results, margin)[1000]


WEIGHTED = [name for name, metric in OF_LABELS.items() if metric.weighted is not None]


def scored(name: str) -> tuple[Task, Rows]:
    """A task and rows with ties, and a class that is never predicted."""
    rng, metric = np.random.default_rng(3), OF_LABELS[name]
    graded, classes = metric.target == "grade", metric.classes or 3
    labels = rng.integers(1, 5, ROWS) if graded else rng.integers(0, classes, ROWS)
    noise = rng.normal(0, 1, ROWS)
    predictions = np.round(labels + noise, 1) if graded else np.where(noise > 0.8, labels == 0, labels)
    named = {"scale": (1.0, 4.0)} if graded else {"labels": ("a", "b", "c")[:classes]}
    task = Task("t", "", "", "", "", ("text",), (name,), **named)
    return task, Rows(labels.astype(float), predictions.astype(float), confidence=np.round(labels + 2 * noise, 0))


def take(rows: Rows, places: np.ndarray) -> Rows:
    """Some of the rows, as often as they are named."""
    return replace(
        rows, labels=rows.labels[places], predictions=rows.predictions[places], confidence=rows.confidence[places]
    )


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_are_repetitions(name: str) -> None:
    """A row of weight 3 counts as three rows: scikit-learn and SciPy say what that scores."""
    task, rows = scored(name)
    frame = pd.DataFrame({"label": rows.labels, "prediction": rows.predictions, "confidence": rows.confidence})
    weights = np.concatenate([np.ones((1, ROWS)), *draw(np.random.default_rng(0), ROWS, 8)])
    found = weighted_scores(task, [frame], weights)[:, 0]
    for score, times in zip(found, weights.astype(int), strict=True):
        assert score == pytest.approx(task_score(task, take(rows, np.repeat(np.arange(ROWS), times))), abs=1e-9)
    assert len(set(np.round(found, 6))) > 5


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_standard_error_is_that_of_scores_of_drawn_rows(name: str, resamples: None) -> None:
    (task, rows), rng = scored(name), np.random.default_rng(0)
    drawn = [task_score(task, take(rows, rng.integers(ROWS, size=ROWS))) for _ in range(evaluate.BOOTSTRAP_RESAMPLES)]
    found = evaluate_labels(task, rows, np.array([1.0, 2.0])).standard_error
    assert found == pytest.approx(np.std(drawn, ddof=1), abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews"])
def test_no_answer_is_a_wrong_one(name: str) -> None:
    task, rows = scored(name)
    none = np.full(ROWS, np.nan)
    assert weighted_scores(task, [pd.DataFrame({"label": rows.labels, "prediction": none})], np.ones((1, ROWS))) == 0
    found = evaluate_labels(task, Rows(rows.labels, none), rows.labels)
    assert (found.score, found.rows) == (0, ROWS)


def test_a_resample_is_as_large_as_the_sample() -> None:
    weights = np.concatenate(list(draw(np.random.default_rng(0), 50, 4000)))
    assert weights.shape == (4000, 50) and (weights.sum(1) == 50).all()
    # Of a mean over rows, resamples vary by the standard error, with the variance taken by n.
    values = np.random.default_rng(1).normal(size=50)
    assert (weights @ values / 50).std() == pytest.approx(values.std() / 50**0.5, rel=0.05)


def test_the_pareto_front_drops_what_is_beaten() -> None:
    points = [(40, 9.0), (20, 4.0), (10, 5.0), (20, 6.0), (30, 6.0)]
    assert pareto_front(points) == [2, 3, 0]


def test_a_difference_is_paired_and_corrected_within_its_family(tmp_path: Path) -> None:
    seeds = {0: 0.70, 1: 0.71, 2: 0.72}
    ahead = {"dora": 0.01, "mtl-lora": 0.1}
    right = {"lora": seeds} | {name: {s: r + more for s, r in seeds.items()} for name, more in ahead.items()}
    tests = paired(study(tmp_path, right | {"lora-per-task": {s: r + 0.2 for s, r in seeds.items()}}))
    found = tests.difference("mtl-lora", "lora")
    assert found.value == pytest.approx(10) and found.seeds == 3 and found.verdict == "better"
    # Two tasks of 400 rows, three seeds whose answers have nothing in common: binomial variances add up.
    variance = 2 * 1e4 * sum(share * (1 - share) for share in (0.71, 0.81)) / (2 * SCORED * 3) / 2
    assert found.rows_variance == pytest.approx(variance, rel=0.15)
    assert found.seeds_variance == pytest.approx(0, abs=1e-9) and found.half == pytest.approx(1.96 * variance**0.5, rel=0.1)
    # Families: dora and mtl-lora against lora; dora against mtl-lora; each of the three against the reference.
    families = {pair: tests.difference(*pair).family for pair in combinations([*right, "lora-per-task"], 2)}
    assert families["lora", "dora"] == families["lora", "mtl-lora"] == 2 and families["dora", "mtl-lora"] == 1
    assert all(families[name, "lora-per-task"] == 3 for name in right)
    alone = 2 * stats.norm.sf(found.value / found.rows_variance**0.5)
    assert found.p == pytest.approx(2 * alone, rel=1e-3) and tests.difference("lora", "dora").p > 0.2
    assert tests.best() == "mtl-lora" and tests.best("piqa") == "mtl-lora"
    assert tests.difference("lora", "mtl-lora") == found.reversed and tests.difference("lora", "lora") is None
    assert found.improvement == 1


def test_the_probability_of_improvement_counts_equal_scores_as_half() -> None:
    first, second = np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[1.0, 4.0], [0.0, 6.0]])
    assert improvement(first, second) == pytest.approx([3.5 / 4, 0.5])


def test_seeds_that_disagree_leave_it_undecided(tmp_path: Path) -> None:
    right = {"lora": {0: 0.5, 1: 0.5, 2: 0.5}, "mtl-lora": {0: 0.50, 1: 0.55, 2: 0.9}}
    tests = paired(study(tmp_path, right))
    found = tests.difference("mtl-lora", "lora")
    assert found.value == pytest.approx(15, abs=0.2) and found.verdict == "undecided" and tests.best() is None
    assert found.half == pytest.approx(stats.t.ppf(0.975, 2) * np.std([0, 5, 40], ddof=1) / 3**0.5, rel=0.01)
    assert found.plan.seeds > 3


def test_the_margin_is_given_beforehand(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    right = {"lora": {0: 0.70, 1: 0.71, 2: 0.72}, "dora": {0: 0.71, 1: 0.70, 2: 0.72}}
    results = study(tmp_path, right)
    assert paired(results).difference("dora", "lora").verdict == "undecided"
    assert paired(results, margin=20).difference("dora", "lora").verdict == "equivalent"
    assert mtl_lora("report", "--results", tmp_path, "--margin", "20") == 0
    (pairs,) = (tmp_path / "report" / "tables").glob("*-pairs.csv")
    assert ",equivalent," in pairs.read_text() and "Margin: 20 points." in (tmp_path / "report" / "index.html").read_text()
    capsys.readouterr()
    for margin in ("0", "-1", "nan", "100"):
        assert mtl_lora("report", "--results", tmp_path, "--margin", margin) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mtl-lora:")]
        assert "it lies between 0 and 100" in line


@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 3), (0.4, 5)])
def test_scored_rows_that_seeds_share_are_not_taken_for_independent(spread: float, seeds: int) -> None:
    """From single answers: five methods that are equal on all the rows there are, though not on those that were drawn.

    spread: of seeds, by the spread of rows. In one family in twenty may any pair be called different.
    """
    rng, task, methods, studies = np.random.default_rng(0), find_suite("commonsense").select(["piqa"]), 5, 150
    pairs, wrong, covered = [*combinations(range(methods), 2)], 0, []
    for _ in range(studies):
        ease = rng.normal(size=300) + rng.normal(size=(methods, 1, 300)) + spread * rng.normal(size=(methods, seeds, 1))
        answers = (ease + 0.3 * rng.normal(size=(methods, seeds, 300)) < 0.5).astype(float).reshape(-1, 300)
        frames = [pd.DataFrame({"label": 0.0, "prediction": own}) for own in answers]
        (weights,) = draw(rng, 300, 200)
        resampled = 100 * weighted_scores(task[0], frames, weights).reshape(-1, methods, seeds).mean(2)
        scores = 100 * (answers == 0).mean(1).reshape(methods, seeds)
        first, second = map(list, zip(*pairs, strict=True))
        differences = (scores[first] - scores[second]).T
        found = judge(differences, (resampled[:, first] - resampled[:, second]).var(0, ddof=1), margin=1.0)
        wrong += min(holm(found.p)) < LEVEL
        covered.append(np.abs(differences.mean(0)) <= found.half)
    assert wrong <= 0.08 * studies and np.mean(covered) > 0.93  # with some room for chance


def test_sentences_claim_what_the_seeds_in_common_show(tmp_path: Path) -> None:
    """MTL-LoRA's further seeds lift its mean above LoRA's; on the seeds that both have it is behind."""
    right = {"lora": dict.fromkeys(range(3), 0.7), "mtl-lora": {s: 0.6 if s < 3 else 0.95 for s in range(6)}}
    results = study(tmp_path, right)
    (comparison,) = compare(results.records)
    leader, over = sentences(comparison, 1000, paired(results))
    assert leader == "At 1,000 adapter parameters, 3 seeds: lora has the highest mean, 70.0: better than mtl-lora."
    assert over.startswith("mtl-lora against lora: -10.0 ±") and over.endswith(": worse.")


def test_nobody_leads_where_seeds_do_not_agree_on_it(tmp_path: Path) -> None:
    """On the one seed that all have LoRA is ahead of MTL-LoRA; on the five that these two have it is behind."""
    right = {"lora": {0: 0.7} | dict.fromkeys(range(1, 5), 0.5), "dora": {0: 0.6}, "mtl-lora": dict.fromkeys(range(5), 0.65)}
    results = study(tmp_path, right)
    (comparison,) = compare(results.records)
    leader, _ = sentences(comparison, 1000, paired(results))
    assert leader.endswith("methods have different seeds, and these do not agree on who leads.")
    table = score_table(comparison, 1000, paired(results), "t")
    (over,) = [row for row in table.rows if row[0] == "over lora"]
    shown = dict(zip(table.header, map(str, over), strict=True))
    assert shown["dora"].startswith("-10.0 ±") and shown["dora"].endswith(", 1 seed")  # of means that differ by +6
    assert shown["mtl-lora"].startswith("+11.0 ±") and "seed" not in shown["mtl-lora"]


def test_references_are_not_compared_with_each_other(tmp_path: Path) -> None:
    seeds = {0: 0.6, 1: 0.7}
    tests = paired(study(tmp_path, {"lora": seeds, "lora-per-task": seeds, "heads-only": seeds}))
    assert tests.difference("lora", "heads-only") and tests.difference("lora", "lora-per-task")
    assert tests.difference("heads-only", "lora-per-task") is None


def test_a_score_that_is_the_majority_baselines_is_marked(tmp_path: Path) -> None:
    results = study(tmp_path, {"lora": {0: 0.5, 1: 0.6}, "mtl-lora": {0: 0.5, 1: 0.5}, "dora": {0: 0.6, 1: 0.7}})
    (comparison,) = compare(results.records)
    comparison = replace(comparison, majority=dict.fromkeys(comparison.majority, 50.0))
    table = score_table(comparison, 1000, paired(results), "t")
    shown = dict(zip(table.header, map(str, table.rows[0]), strict=True))
    assert shown["lora"].endswith("†1/2") and shown["mtl-lora"].endswith("†") and "†" not in shown["dora"]
    assert "†" in GLOSSARY[table.header[1]]


def test_a_control_is_paired_by_rows(tmp_path: Path) -> None:
    """The same answers with one's own pictures and with others': no difference, and no doubt that comes from the rows."""
    (own,) = study(tmp_path, {"lora": {0: 0.6}}).records
    store = RunStore(tmp_path)
    for pictures in ("own", "shuffled"):
        config = replace(own.config, answering=own.config.answering | {"pictures": pictures})
        store.record_path(config.id).write_text(to_json(replace(own, id=config.id, config=config)))
        shutil.copy(store.predictions_path(own.id), store.predictions_path(config.id))
    store.record_path(own.id).unlink()
    results = Results(tmp_path)
    (family,) = by_pictures(compare(results.records))
    kinds = of_pictures(family, "lora", 1000)
    found = PairedTests(kinds, 1000, resample(kinds, results)).difference("own", "shuffled", "piqa")
    assert (found.value, found.half) == (0, 0)


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    results = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.9}})
    (comparison,) = compare(results.records)
    leader, _ = sentences(comparison, 1000, paired(results))
    assert leader.endswith("mtl-lora has the highest mean, 90.0: ahead, with one seed, of lora.")


@pytest.mark.parametrize("kinds", [["mtl-lora", "lora-per-task"], ["lora-per-task"], ["mtl-lora"]], ids=str)
def test_a_report_of_few_methods(kinds: list[str], tmp_path: Path) -> None:
    study(tmp_path, {kind: {0: 0.6, 1: 0.7} for kind in kinds})
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert len([*(tmp_path / "report" / "tables").glob("*-pairs.csv")]) == (len(kinds) > 1)


BAD = {
    "columns": ("published/new.csv", "suite,value\nnlu,3\n", "new.csv has the columns suite, value; wanted: suite, model"),
    "number": (
        "published/new.csv",
        f"{','.join(PUBLISHED)}\nnlu,m,lora,8,,sst2,accuracy,9O,p,first,\n",
        "the value '9O', which is",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_files_are_one_line_and_status_2(case: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    name, content, message = BAD[case]
    study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.6}})
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert mtl_lora("report", "--results", tmp_path) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mtl-lora:")]
    assert message in line


def test_predictions_of_other_rows_are_refused(tmp_path: Path) -> None:
    results = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.6}})
    run = run_of(results, "lora")
    frame = results.predictions(run)
    frame.sample(frac=1, random_state=0).to_parquet(results.predictions_path(run), index=False)
    results = Results(tmp_path)
    assert paired(results).difference("mtl-lora", "lora").value == pytest.approx(10)  # their order does not matter
    results.by_task(run)["piqa"]["row"][:] += 1
    with pytest.raises(InvalidInput, match="are not of the same rows of task piqa"):
        paired(results)


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.6}, "dora": {0: 0.4}})
    out = tmp_path / "report"
    assert mtl_lora("report", "--results", tmp_path) == 0
    (out / "figures" / "mine.png").touch()
    for method in ("dora", "mtl-lora"):
        results.path(run_of(results, method)).unlink()
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert [path.name for path in (out / "figures").iterdir()] == ["mine.png"]  # one method alone has no curve
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    written[out / "index.html"] = b"a page of mine"
    (out / "index.html").write_bytes(b"a page of mine")
    assert mtl_lora("report", "--results", tmp_path) == 2
    assert "index.html is not as `mtl-lora report` left it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == written  # nothing is touched

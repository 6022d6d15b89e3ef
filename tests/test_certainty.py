"""Resampled scores, corrected p-values and contests, against closed forms and scikit-learn."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RESULTS
from scipy import stats
from test_runner import mtl_lora

from benchmarks.scoring.metrics import METRICS, Scored
from benchmarks.scoring.resampling import WEIGHTED, draw, weighted_scores
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput
from reports.evidence.comparison import by_pictures, compare, of_pictures
from reports.evidence.results import PUBLISHED, Results
from reports.evidence.significance import (
    LEVEL,
    RESAMPLES,
    Certainty,
    Contest,
    draw_seeds,
    holm,
    judge,
    mean_over_seeds,
    two_sided,
)
from reports.figures.scores import pareto_front
from reports.tables.scores import score_table
from reports.tables.significance import sentences

ROWS = 60
SCORED = 400


def study(folder: Path, right: dict[str, dict[int, float]]) -> Results:
    """Records of a suite of two tasks. right: by method and seed the share of scored rows that are answered right."""
    rng = np.random.default_rng(0)
    (folder / "runs").mkdir(parents=True)
    example = json.loads(next((RESULTS / "commonsense" / "runs").glob("*.json")).read_text())
    for method, seeds in right.items():
        for seed, share in seeds.items():
            reference = method in ("lora-per-task", "heads-only")
            config = example["config"] | {"seed": seed, "budget": 1000, "tasks": ["piqa", "siqa"], "max_eval": SCORED}
            config["method"] = {"name": method, "label": method, "rank": 1, "alpha": 2.0, "dropout": 0.0}
            frames, scores = [], {}
            for task in config["tasks"]:
                answers = (rng.permutation(SCORED) >= share * SCORED).astype(float)  # 0 is right
                frames.append(pd.DataFrame({"task": task, "row": range(SCORED), "label": 0.0, "prediction": answers}))
                score = float((answers == 0).mean())
                scores[task] = example["scores"]["piqa"] | {"score": score, "metrics": {"accuracy": score}, "rows": SCORED}
            parameters = example["parameters"] | {"trained": 8000 if reference else 1000, "heads": 0}
            record = example | {"id": f"{method}{seed}", "config": config, "scores": scores, "parameters": parameters}
            record["score"] = float(np.mean([s["score"] for s in scores.values()]))
            (folder / "runs" / f"{method}{seed}.json").write_text(json.dumps(record))
            pd.concat(frames).to_parquet(folder / "runs" / f"{method}{seed}.predictions.parquet", index=False)
    return Results(folder)


def certainty(results: Results) -> Certainty:
    (comparison,) = compare(results.records)
    return Certainty(comparison, 1000, results)


def scored(metric: str) -> Scored:
    """Rows with ties, and a class that is never predicted."""
    rng = np.random.default_rng(3)
    graded = metric in ("pearson", "spearman", "quadratic_kappa")
    labels = rng.integers(1, 5, ROWS).astype(float) if graded else rng.integers(0, 2, ROWS).astype(float)
    if metric == "matthews":
        labels = rng.integers(0, 3, ROWS).astype(float)
    noise = rng.normal(0, 1, ROWS)
    predictions = np.round(labels + noise, 1) if graded else np.where(noise > 0.8, 1 - labels, labels)
    task = Task("t", "", "", "", "", (), (metric,), labels=() if graded else ("a", "b", "c"), scale=(1, 4))
    return Scored(task, labels, predictions, confidence=np.round(labels + 2 * noise, 0))


@pytest.mark.parametrize("metric", WEIGHTED)
def test_weights_are_repetitions(metric: str) -> None:
    """A row of weight 3 counts as three rows: scikit-learn and SciPy say what that scores."""
    rows = scored(metric)
    frame = pd.DataFrame({"label": rows.labels, "prediction": rows.predictions, "confidence": rows.confidence})
    weights = np.concatenate([np.ones((1, ROWS)), *draw(np.random.default_rng(0), ROWS, 8)])
    found = weighted_scores(rows.task, [frame], weights)[:, 0]
    for score, times in zip(found, weights.astype(int), strict=True):
        assert score == pytest.approx(METRICS[metric](rows.take(np.repeat(np.arange(ROWS), times), None)), abs=1e-9)
    assert len(set(np.round(found, 6))) > 5


def test_no_answer_is_a_wrong_one() -> None:
    rows = scored("accuracy")
    frame = pd.DataFrame({"label": rows.labels, "prediction": np.full(ROWS, np.nan)})
    assert weighted_scores(rows.task, [frame], np.ones((1, ROWS))) == 0


def test_a_resample_is_as_large_as_the_sample() -> None:
    weights = np.concatenate(list(draw(np.random.default_rng(0), 50, 4000)))
    assert weights.shape == (4000, 50) and (weights.sum(1) == 50).all()
    # Of a mean over rows, resamples vary by the standard error, with the variance taken by n.
    values = np.random.default_rng(1).normal(size=50)
    assert (weights @ values / 50).std() == pytest.approx(values.std() / 50**0.5, rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_vary_a_mean_by_its_unbiased_standard_error(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(size=seeds)
    draws = draw_seeds(np.random.default_rng(0), seeds)
    resampled = mean_over_seeds(np.broadcast_to(values, (len(draws), seeds)), draws)
    assert resampled.std() == pytest.approx(values.std(ddof=1) / seeds**0.5, rel=0.08)
    assert resampled.mean() == pytest.approx(values.mean(), abs=4 * values.std() / len(draws) ** 0.5)


def test_one_seed_is_drawn_always() -> None:
    draws = draw_seeds(np.random.default_rng(0), 1)
    values = np.random.default_rng(1).normal(size=(len(draws), 1, 2))
    assert (mean_over_seeds(values, draws) == values[:, 0]).all()


def test_holm_on_his_own_terms() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_p_is_that_of_a_normal_distribution() -> None:
    resampled = np.random.default_rng(0).normal(1.5, 1.0, 200_000)
    assert two_sided(resampled) == pytest.approx(2 * stats.norm.sf(1.5), rel=0.02)
    assert two_sided(resampled - 1.5) > 0.99 and two_sided(np.full(99, 3.0)) == pytest.approx(0.02)


@pytest.mark.parametrize("spread", [0.0, 2.5, 10.0])
def test_intervals_cover_and_equal_methods_are_seldom_told_apart(spread: float) -> None:
    """Five equal methods, three seeds, however much seeds differ. spread: of seeds, by the standard error of the rows.

    In one family of ten pairs in twenty, or fewer, may any pair be called different, and 95% of intervals must hold 0 (here
    with some room for chance).
    The bootstrap alone and Student's t alone each fail at one end, or this test could not tell them from both together.
    """
    rng, methods, seeds = np.random.default_rng(1), 5, 3
    covered, found = {"both": [], "bootstrap": [], "t": []}, {"both": 0, "bootstrap": 0}
    for _ in range(200):
        rows = rng.normal(size=(methods, 1))  # the error of the scored rows, which all seeds of a method share
        scores = rows + rng.normal(0, spread, (methods, seeds))
        drawn = scores + rng.normal(size=(RESAMPLES, methods, 1))
        draws = draw_seeds(rng, seeds)
        values = {"both": [], "bootstrap": []}
        for i, j in combinations(range(methods), 2):
            differences, resampled = scores[i] - scores[j], mean_over_seeds(drawn[:, i] - drawn[:, j], draws)
            half, p = judge(differences, resampled)
            low, high = np.percentile(resampled, [2.5, 97.5])
            error = differences.std(ddof=1) / seeds**0.5
            covered["both"].append(abs(differences.mean()) <= half)
            covered["bootstrap"].append(low <= 0 <= high)
            covered["t"].append(abs(differences.mean()) <= stats.t.ppf(0.975, seeds - 1) * error)
            values["both"].append(p)
            values["bootstrap"].append(two_sided(resampled))
        for kind, own in values.items():
            found[kind] += min(holm(own)) < LEVEL
    assert np.mean(covered["both"]) > 0.94 and found["both"] <= 0.08 * 200
    if spread == 0:
        assert np.mean(covered["t"]) < 0.1
    if spread == 10:
        assert np.mean(covered["bootstrap"]) < 0.85 and found["bootstrap"] > 0.25 * 200


def test_what_is_sure() -> None:
    contest = Contest(difference=2.0, half=1.5, p=0.01, seeds=3, effect=1.0)
    assert contest.sure and contest.verdict == "surely ahead" and str(contest) == "+2.0 ± 1.5"
    assert contest.reversed.verdict == "surely behind" and contest.reversed.effect == -1
    for doubt, verdict in (
        ({"p": 0.06}, "ahead, but not surely"),
        ({"half": 2.5}, "no difference shown"),
        ({"seeds": 1}, "ahead, but not surely"),
    ):
        other = Contest(**(vars(contest) | doubt))
        assert not other.sure and other.verdict == verdict


def test_the_pareto_front_drops_what_is_beaten() -> None:
    points = [(40, 9.0), (20, 4.0), (10, 5.0), (20, 6.0), (30, 6.0)]
    assert pareto_front(points) == [2, 3, 0]


def test_a_contest_is_paired_and_corrected_among_its_kind(tmp_path: Path) -> None:
    seeds = {0: 0.70, 1: 0.71, 2: 0.72}
    right = {"lora": seeds, "dora": seeds, "mtl-lora": {s: r + 0.1 for s, r in seeds.items()}}
    found = certainty(study(tmp_path, right | {"lora-per-task": {s: r + 0.2 for s, r in seeds.items()}}))
    contest = found.contest("mtl-lora", "lora")
    assert contest.difference == pytest.approx(10) and contest.seeds == 3 and contest.sure
    # Two tasks of 400 rows, three seeds whose answers have nothing in common: binomial variances add up. They count twice,
    # as rows are drawn and seeds are, whose scores differ by their rows: with like seeds the interval is on the safe side.
    variance = 2 * sum(share * (1 - share) for share in (0.71, 0.81)) / (2 * SCORED * 3)
    assert contest.half == pytest.approx(1.96 * 100 * variance**0.5, rel=0.25)
    # Three pairs of matched methods: nothing smaller than three times the smallest p can come out.
    assert contest.p == pytest.approx(3 * 2 / (RESAMPLES + 1)) and found.contest("lora", "dora").p > 0.2
    assert found.contest("lora-per-task", "lora").p == pytest.approx(3 * 2 / (RESAMPLES + 1))
    assert found.best() == "mtl-lora" and found.best("piqa") == "mtl-lora"
    assert found.contest("lora", "mtl-lora") == contest.reversed and found.contest("lora", "lora") is None


def test_seeds_that_disagree_leave_nothing_sure(tmp_path: Path) -> None:
    right = {"lora": {0: 0.5, 1: 0.5, 2: 0.5}, "mtl-lora": {0: 0.50, 1: 0.55, 2: 0.9}}
    found = certainty(study(tmp_path, right))
    contest = found.contest("mtl-lora", "lora")
    assert contest.difference == pytest.approx(15, abs=0.2) and not contest.sure and found.best() is None
    assert contest.half == pytest.approx(stats.t.ppf(0.975, 2) * np.std([0, 5, 40], ddof=1) / 3**0.5, rel=0.01)


def test_sentences_claim_what_the_seeds_in_common_show(tmp_path: Path) -> None:
    """MTL-LoRA's further seeds lift its mean above LoRA's; on the seeds that both have it is behind."""
    right = {"lora": dict.fromkeys(range(3), 0.7), "mtl-lora": {s: 0.6 if s < 3 else 0.95 for s in range(6)}}
    results = study(tmp_path, right)
    (comparison,) = compare(results.records)
    leader, over = sentences(comparison, 1000, certainty(results))
    assert leader == "At 1,000 adapter parameters, 3 seeds: lora has the highest mean, 70.0: surely ahead of mtl-lora."
    assert over.startswith("mtl-lora over lora: -10.0 ±") and over.endswith("surely behind.")


def test_nobody_leads_where_seeds_do_not_agree_on_it(tmp_path: Path) -> None:
    """On the one seed that all have LoRA is ahead of MTL-LoRA; on the five that these two have it is behind."""
    right = {"lora": {0: 0.7} | dict.fromkeys(range(1, 5), 0.5), "dora": {0: 0.6}, "mtl-lora": dict.fromkeys(range(5), 0.65)}
    results = study(tmp_path, right)
    (comparison,) = compare(results.records)
    leader, _ = sentences(comparison, 1000, certainty(results))
    assert leader.endswith("methods have different seeds, and these do not agree on who leads.")
    table = score_table(comparison, 1000, certainty(results), "t")
    (over,) = [row for row in table.rows if row[0] == "over lora"]
    shown = dict(zip(table.header, map(str, over), strict=True))
    assert shown["dora"].startswith("-10.0 ±") and shown["dora"].endswith(", 1 seed")  # of means that differ by +6
    assert shown["mtl-lora"].startswith("+11.0 ±") and "seed" not in shown["mtl-lora"]


def test_references_are_not_compared_with_each_other(tmp_path: Path) -> None:
    seeds = {0: 0.6, 1: 0.7}
    found = certainty(study(tmp_path, {"lora": seeds, "lora-per-task": seeds, "heads-only": seeds}))
    assert found.contest("lora", "heads-only") and found.contest("lora", "lora-per-task")
    assert found.contest("heads-only", "lora-per-task") is None


def test_a_control_is_paired_by_rows(tmp_path: Path) -> None:
    """The same answers with one's own pictures and with others': no difference, and no doubt that comes from the rows."""
    study(tmp_path, {"lora": {0: 0.6}})
    path = tmp_path / "runs" / "lora0.json"
    record = json.loads(path.read_text())
    for pictures, run in (("own", "lora0"), ("shuffled", "other")):
        answering = record["config"].get("answering", {}) | {"pictures": pictures}
        new = record | {"id": run, "config": record["config"] | {"answering": answering}}
        path.with_name(f"{run}.json").write_text(json.dumps(new))
    results = Results(tmp_path)
    shutil.copy(results.predictions_path("lora0"), results.predictions_path("other"))
    (family,) = by_pictures(compare(results.records))
    kinds = of_pictures(family, "lora", 1000)
    contest = Certainty(kinds, 1000, results).contest("own", "shuffled", "piqa")
    assert (contest.difference, contest.half) == (0, 0)


def test_one_seed_is_never_sure(tmp_path: Path) -> None:
    results = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.9}})
    (comparison,) = compare(results.records)
    leader, _ = sentences(comparison, 1000, certainty(results))
    assert leader.endswith("mtl-lora has the highest mean, 90.0: ahead, with one seed, of lora.")


@pytest.mark.parametrize("kinds", [["mtl-lora", "lora-per-task"], ["lora-per-task"], ["mtl-lora"]], ids=str)
def test_a_report_of_few_methods(kinds: list[str], tmp_path: Path) -> None:
    study(tmp_path, {kind: {0: 0.6, 1: 0.7} for kind in kinds})
    assert mtl_lora("report", "--results", tmp_path) == 0
    tables = {path.stem for path in (tmp_path / "report" / "tables").glob("*.csv")}
    assert ("commonsense-contests" in tables) == (len(kinds) > 1)


BAD = {
    "predictions": ("runs/lora0.predictions.parquet", "not parquet", "lora0.predictions.parquet cannot be read"),
    "no predictions": ("runs/lora0.predictions.parquet", None, "lora0.predictions.parquet is missing: remove the record"),
    "diagnosis": ("diagnoses/lora0.json", "{}", "lora0.json is no whole diagnosis (KeyError: 'schema'): remove it"),
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
    path.unlink(missing_ok=True) if content is None else path.write_text(content)
    assert mtl_lora("report", "--results", tmp_path) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mtl-lora:")]
    assert message in line


def test_predictions_of_other_rows_are_refused(tmp_path: Path) -> None:
    results = study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.6}})
    frame = results.predictions("lora0")
    frame.sample(frac=1, random_state=0).to_parquet(results.predictions_path("lora0"), index=False)
    assert certainty(results).contest("mtl-lora", "lora").difference == pytest.approx(10)  # their order does not matter
    frame.assign(row=frame["row"] + 1).to_parquet(results.predictions_path("lora0"), index=False)
    with pytest.raises(InvalidInput, match="are not of the same rows of task piqa"):
        certainty(results)


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    study(tmp_path, {"lora": {0: 0.5}, "mtl-lora": {0: 0.6}, "dora": {0: 0.4}})
    out = tmp_path / "report"
    assert mtl_lora("report", "--results", tmp_path) == 0
    (out / "figures" / "mine.png").touch()
    for path in [*(tmp_path / "runs").glob("dora*"), *(tmp_path / "runs").glob("mtl-lora*")]:
        path.unlink()
    assert mtl_lora("report", "--results", tmp_path) == 0
    assert [path.name for path in (out / "figures").iterdir()] == ["mine.png"]  # one method alone has no curve
    (out / "index.html").write_text("a page of mine")
    assert mtl_lora("report", "--results", tmp_path) == 2
    assert "index.html is not a page that `mtl-lora report` wrote" in capsys.readouterr().err

"""What a report shows of tuning, from made-up trials: figures that can be read, and tables that say how much was tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_study import study

from benchmarks.experiment.choosing import best_of as best_candidate
from benchmarks.experiment.choosing import choose
from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.tuning import HALVED, REDUCED
from benchmarks.records.config import Candidate, Choice, Trial
from reports.evidence.comparison import Comparison, compare
from reports.evidence.results import Results
from reports.evidence.significance import paired_tests
from reports.evidence.tuning import Tuned
from reports.figures.tuning import best_of, score_against_rate, tuned_against_default
from reports.tables.cost import cost_table
from reports.tables.footnotes import notes
from reports.tables.scores import score_table, title
from reports.tables.significance import pairs_table
from reports.tables.table import Table
from reports.tables.transfer import gain_table
from reports.tables.tuning import tuning_table

RATES = (1.1e-3, 2e-3, 3.6e-3)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    right = {name: {0: 0.6, 1: 0.65} for name in ("lora", "mtl-lora", "lora-per-task", LARGER)}
    return study(tmp_path, right)


def arm(label: str, knob: str | None = None) -> Tuned:
    """Three rates with two seeds, the middle one best, the highest one diverging with one of them."""
    values = (0.3, 3.0) if knob else (None,)
    scores: dict[tuple[float, int], float | None] = {
        (rate, seed): 0.9 - 100 * abs(rate - 2e-3) for rate in RATES for seed in (100, 101)
    }
    scores[3.6e-3, 101] = None
    trials = [
        Trial(f"{rate}-{seed}-{value}", rate, seed, score if value != 3.0 or score is None else score - 0.1, value)
        for (rate, seed), score in scores.items()
        for value in values
    ]
    seeds: dict[Candidate, list[float]] = {}
    for trial in trials:
        seeds.setdefault(trial.candidate, []).extend([] if trial.score is None else [100 * trial.score])
    means = {candidate: sum(own) / 2 for candidate, own in seeds.items() if len(own) == 2}
    entry = SimpleNamespace(
        name=label, label=label, place=0, reference=False, runs={0: "a"}, score=SimpleNamespace(mean=88.0)
    )
    return Tuned(entry, choose(trials), knob, means, seeds, best_candidate(trials, None), 1.1e-3)


def test_figures_name_the_rates_that_were_tried_and_no_formulas(tmp_path: Path) -> None:
    arms = [arm("lora"), arm("mtl-lora", knob="temperature")]
    figures = [draw(arms, "quick", tmp_path, draw.__name__) for draw in (score_against_rate, best_of, tuned_against_default)]
    assert all("mathdefault" not in figure.svg for figure in figures)
    assert all(f">{rate:g}<" in drawn for rate in RATES for drawn in (figures[0].svg, figures[0].inline))
    assert ">mtl-lora, temperature 0.3<" in figures[0].svg
    assert "Chosen: lora 0.002 (90.0); mtl-lora 0.002, temperature 0.3 (90.0)" in figures[0].alt


def test_the_table_says_what_was_tried_and_whether_by_as_many_trials(results: Results) -> None:
    table = tuning_table([arm("lora"), arm("mtl-lora", knob="temperature")], "quick", results, "t")
    shown = [dict(zip(table.header, map(str, row), strict=True)) for row in table.rows]
    assert [row["chosen"] for row in shown] == ["0.002", "0.002, temperature 0.3"]
    assert shown[1]["rates tried"] == "0.0011 to 0.0036; temperature 0.3, 3.0"
    assert [row["diverged"] for row in shown] == ["1", "2"]
    assert any("different numbers of trials" in note for note in table.notes)
    assert not any("different numbers" in note for note in tuning_table([arm("lora")], "quick", results, "t").notes)


def test_the_table_says_what_the_rule_did_where_the_best_rate_was_not_taken(results: Results) -> None:
    scores = {1e-4: (0.30, 0.32), 2e-4: (0.20, 0.22), 4e-4: (0.29, 0.41)}
    trials = [Trial(f"{rate}-{s}", rate, 100 + s, score) for rate, own in scores.items() for s, score in enumerate(own)]
    means, seeds = ({Candidate(rate): f(own) for rate, own in scores.items()} for f in (lambda own: 50 * sum(own), list))
    tuned = replace(arm("lora"), choice=choose(trials), means=means, seeds=seeds, best=best_candidate(trials, None))
    table = tuning_table([tuned], "quick", results, "t")
    shown = dict(zip(table.header, map(str, table.rows[0]), strict=True))
    assert (shown["chosen"], shown["dev score"]) == ("0.0001 (edge)", "31.0")
    assert shown["best dev score"] == "35.0 (6.0) at 0.0004"


@pytest.mark.parametrize("protocol", [REDUCED, HALVED])
def test_less_than_all_tuning_is_named_in_every_table(results: Results, protocol: str) -> None:
    def tables(comparison: Comparison) -> Iterator[Table | None]:
        tests = paired_tests(comparison, results)
        yield score_table(comparison, 1000, tests[1000], "t")
        yield pairs_table(comparison, tests, "t")
        yield gain_table(comparison, tests, "t")
        yield cost_table(comparison, results, "t")
        yield tuning_table([arm("lora")], title(comparison, 1000), results, "t")

    choice = Choice(1e-3, "", (), False, budget=11)
    (whole,) = compare(results.records)
    method = replace(whole.config.method, choice=choice)
    less = replace(whole, config=replace(whole.config, protocol=protocol, method=method))
    made = [table for table in tables(less) if table]
    assert len(made) == 5 and all(protocol in table.title for table in made)
    told = "halved: at most 11 trials each" if protocol == HALVED else "reduced: every second rate tried, fewer seeds"
    assert any(told in note for note in made[0].notes)


def test_a_larger_lora_that_is_not_as_large_as_the_largest_adapter_says_so(results: Results) -> None:
    (comparison,) = compare(results.records)

    def told(parameters: int) -> list[str]:
        entries = [replace(e, parameters=parameters, rank=128) if e.name == LARGER else e for e in comparison.at(1000)]
        return [note for note in notes(comparison, entries) if note.startswith(LARGER)]

    assert told(3000) == [
        "lora-larger has 3,000 parameters, 62% fewer than lora-per-task, the largest adapter here: its rank, 128, is as "
        "high as the adapted layers are wide."
    ]
    assert told(7990) == []  # the next rank would be too large


def test_the_value_of_a_knob_stands_with_the_settings_of_a_methods_own(results: Results) -> None:
    (comparison,) = compare(results.records)
    knobbed = [
        replace(r, config=replace(r.config, method=replace(r.config.method, knob="alpha"))) for r in comparison.records
    ]
    assert any("lora alpha 2.0" in note for note in notes(replace(comparison, records=tuple(knobbed)), comparison.at(1000)))
    assert len(compare([*results.records, *knobbed])) == 2, "methods with a knob are compared with such alone"

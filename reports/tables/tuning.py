"""Tables of tuning: what was tried, what it cost, and what it found."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records.schema import RunRecord
from reports.evidence.results import Results
from reports.evidence.tuning import Tuned
from reports.tables.table import Table, Text


def tuning_table(arms: Sequence[Tuned], title: str, results: Results, name: str) -> Table:
    """A row per arm: its trials, what they cost, the chosen rate, and dev scores at it and at the recipe's."""
    rows: list[list[Text | str]] = []
    for arm in arms:
        trials = [results.find(trial.id) for trial in arm.choice.trials]
        seconds = sum(t.training.seconds + t.training.evaluation_seconds for t in trials if isinstance(t, RunRecord))
        default = arm.at(arm.default)
        rows.append(
            [
                arm.entry.label,
                str(len(trials)),
                str(arm.diverged),
                f"{seconds / 3600:.2f}",
                _tried(arm),
                Text(f"{arm.chosen}{' (edge)' if arm.choice.on_edge else ''}", runs=tuple(arm.entry.runs.values())),
                f"{arm.dev_score:.1f}",
                arm.highest,
                "" if default is None else f"{default:.1f}",
                f"{arm.entry.score.mean:.1f}",
            ]
        )
    head = [
        "method",
        "trials",
        "diverged",
        "hours",
        "rates tried",
        "chosen",
        "dev score",
        "best dev score",
        "untuned",
        "test score",
    ]
    seeds = sorted({trial.seed for arm in arms for trial in arm.choice.trials})
    notes = [
        f"Rule for all: {arms[0].choice.rule}. Tuning seeds {', '.join(map(str, seeds))}; full fine-tuning tries rates ten "
        "times lower.",
        "Dev score: the mean at the chosen rate. Best dev score: the highest mean, its standard error over tuning seeds in "
        "parentheses, and its rate: the rule takes the lowest rate that is no further below it than that.",
        f"Untuned: the dev score at learning rate {arms[0].default:g}, which other protocols give all. Dev scores at a rate "
        "chosen by them are too high; the test score is of fresh seeds.",
        "Hours: of trials that finished, one after another. Edge: the best was the lowest or highest rate tried.",
    ]
    if len({len(arm.choice.trials) for arm in arms}) > 1:
        notes.append("Methods had different numbers of trials here, so one may owe its lead to them.")
    return Table(name, f"How learning rates were chosen, {title}", head, rows, notes)


def _tried(arm: Tuned) -> str:
    """Rates from the lowest to the highest, and every value of the knob."""
    rates = [candidate.learning_rate for candidate in arm.seeds]
    values = ", ".join(map(str, dict.fromkeys(candidate.value for candidate in arm.seeds)))
    return f"{min(rates):g} to {max(rates):g}" + (f"; {arm.knob} {values}" if arm.knob else "")

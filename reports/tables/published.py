"""Published numbers beside measured ones, and whether they agree where they can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmarks.suites import all_suites, find_suite
from benchmarks.words import plural
from reports.evidence.comparison import Comparison
from reports.evidence.entries import Entry
from reports.evidence.significance import MEAN
from reports.tables.footnotes import training
from reports.tables.table import Table, Text

# What papers call a backbone, and its hub id.
MODELS = {
    "LLaMA-7B": "huggyllama/llama-7b",
    "LLaMA2-7B": "meta-llama/Llama-2-7b-hf",
    "LLaMA3-8B": "meta-llama/Meta-Llama-3-8B",
    "VL-BART": "facebook/bart-base",
    "T5-base": "google-t5/t5-base",
}
ROW = ["model", "method", "rank", "parameters", "source", "hand"]
SEEDS = 3  # at least, for a verdict
NOTES = (
    "Verdict: a published value is compared with the measured one of the same method where backbone, rank and metric are "
    "stated and the same, no data were cut, and three seeds or more were measured; it agrees where it lies within the "
    "measured 95% interval over seeds. Everything else is not comparable, and the verdict says why.",
)


def published_table(suite: str, published: pd.DataFrame, measured: Sequence[Comparison], name: str) -> Table | None:
    """Measured rows first, then a row for each published setting, with a verdict; None where nothing is published.

    measured: the suite's comparisons with the tasks' own data.
    """
    own = published[published["suite"] == suite] if len(published) else published
    if not len(own):
        return None
    names = [task.name for task in find_suite(suite).tasks] if suite in all_suites() else []
    others = [task for task in dict.fromkeys(own["task"]) if task not in (*names, MEAN)]
    columns = [*names, *others, MEAN]
    rows = [_measured(entry, comparison, columns) for comparison in measured for entry in comparison.entries]
    for key, group in own.groupby(ROW, sort=False):
        setting = dict(zip(ROW, key, strict=True))
        cells = [_value(group[group["task"] == task]) for task in columns]
        rows.append(
            [
                setting["method"],
                setting["model"] or "n/a",
                verdict(setting, group, measured),
                setting["rank"],
                setting["parameters"],
                *cells,
                f"{setting['source']} ({setting['hand']} hand)",
            ]
        )
    head = ["method", "backbone", "verdict", "rank", "parameters", *columns, "source"]
    return Table(name, f"Published beside measured: {suite}", head, rows, NOTES)


def verdict(setting: dict[str, str], group: pd.DataFrame, measured: Sequence[Comparison]) -> str:
    """What can be said of a published row: in how many values it agrees or differs, or why it cannot be compared."""
    values = group[group["value"] != ""]
    if not len(values):
        return "not available"
    if not measured:
        return "not comparable: this suite was not measured"
    candidates = [(c, e) for c in measured for e in c.entries if e.name == setting["method"]]
    if not candidates:
        return "not comparable: the method was not measured"
    reasons = {reason for comparison, _ in candidates for reason in [_another_backbone(setting, comparison)] if reason}
    candidates = [(c, e) for c, e in candidates if not _another_backbone(setting, c)]
    if not candidates:
        return f"not comparable: {'; '.join(sorted(reasons))}"
    whole = [(c, e) for c, e in candidates if not _cut(c)]
    if not whole:
        return f"not comparable: {_cut(candidates[0][0])}"
    if not setting["rank"]:
        return "not comparable: the source states no rank"
    same = [entry for _, entry in whole if setting["rank"] == str(entry.rank)]
    if not same:
        return f"not comparable: rank {setting['rank']}, measured at {', '.join(str(e.rank) for _, e in whole)}"
    seeds = max(len(entry.seeds) for entry in same)
    if seeds < SEEDS:
        return f"not comparable: measured with {plural(seeds, 'seed')}"
    return _judged(values, next(entry for entry in same if len(entry.seeds) == seeds))


def _judged(values: pd.DataFrame, entry: Entry) -> str:
    agree: list[str] = []
    differ: list[str] = []
    for row in values.itertuples():
        cell, metrics = entry.tasks.get(row.task), entry.metrics.get(row.task, {})
        if cell is not None and [row.metric.replace(" ", "_")] == [*metrics]:
            (agree if abs(float(row.value) - cell.mean) <= cell.interval else differ).append(row.task)
    if not agree and not differ:
        return "not comparable: other tasks or metrics"
    parts = [f"{word} on {', '.join(tasks)}" for word, tasks in (("agrees", agree), ("differs", differ)) if tasks]
    return f"{'; '.join(parts)} ({entry.label}, rank {entry.rank})"


def _another_backbone(setting: dict[str, str], comparison: Comparison) -> str | None:
    backbone = comparison.config.backbone.id
    if not setting["model"]:
        return "the source names no backbone"
    return None if MODELS.get(setting["model"], setting["model"]) == backbone else f"another backbone than {backbone}"


def _cut(comparison: Comparison) -> str | None:
    config, records = comparison.config, comparison.records
    if config.max_train or config.max_eval:
        return "measured on fewer rows"
    if any(record.source == "mirror" for record in records):
        return "measured on a mirror that may hold subsets"
    return None


def _measured(entry: Entry, comparison: Comparison, columns: list[str]) -> list[Text | str]:
    runs = tuple(entry.runs.values())
    cells = [entry.score if task == MEAN else entry.tasks.get(task) for task in columns]
    about = comparison.config.backbone.id.rpartition("/")[2]
    return [
        entry.label,
        about,
        "measured here",
        str(entry.rank) if entry.budget else "",
        f"{entry.parameters:,}",
        *("" if cell is None else Text(str(cell), runs=runs) for cell in cells),
        f"this project: {training(comparison.config)}",
    ]


def _value(rows: pd.DataFrame) -> str:
    """The published values of a task; each with its metric where there are several."""
    if not len(rows):
        return ""
    if (rows["value"] == "").all():
        return "n/a"
    own = rows[rows["value"] != ""]
    if len(own) == 1:
        return own["value"].iloc[0]
    return ", ".join(f"{row.value} {row.metric}" for row in own.itertuples())

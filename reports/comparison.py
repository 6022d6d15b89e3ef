"""From run records to comparisons: runs that differ in nothing but method, seed and budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.plan import order_for_display

Record = dict[str, Any]
FREE = ("method", "seed", "budget")  # what may differ between the runs of one comparison


@dataclass(frozen=True)
class Cell:
    """A score in percent over seeds. spread: their standard deviation, None for one seed. error: the standard error
    over the scored rows, averaged over seeds."""

    mean: float
    seeds: int
    spread: float | None
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.error:.1f})" if self.spread is None else f"{self.mean:.1f} ± {self.spread:.1f}"


@dataclass(frozen=True)
class Entry:
    """One method at one budget: a column of a table, a point of the plot."""

    label: str
    budget: int
    rank: int
    parameters: int
    heads: int
    base: int
    seeds: tuple[int, ...]
    tasks: dict[str, Cell]
    metrics: dict[str, dict[str, float]]  # task -> metric -> percent, mean over seeds
    score: Cell

    @property
    def mismatch(self) -> float:
        """(parameters - budget) / budget."""
        return self.parameters / self.budget - 1


@dataclass(frozen=True)
class Comparison:
    """Entries that were trained and scored alike. ``config`` is what they have in common."""

    config: dict[str, Any]
    entries: tuple[Entry, ...]
    rows: dict[str, tuple[int, int]]  # task -> training rows, scored rows
    majority: dict[str, float]
    caveats: list[str]

    @property
    def budgets(self) -> list[int]:
        return sorted({entry.budget for entry in self.entries})

    def at(self, budget: int) -> list[Entry]:
        """The entries of one budget, in display order."""
        return [entry for entry in self.entries if entry.budget == budget]


def compare(records: list[Record]) -> list[Comparison]:
    """Group the records into comparisons, the largest first."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        common = {name: value for name, value in record["config"].items() if name not in FREE}
        groups.setdefault(json.dumps(common, sort_keys=True), []).append(record)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [_comparison(json.loads(common), group) for common, group in ordered]


def _comparison(config: dict[str, Any], records: list[Record]) -> Comparison:
    labels = order_for_display({r["config"]["method"]["label"] for r in records})
    budgets = sorted({r["config"]["budget"] for r in records})
    entries = []
    for budget in budgets:
        for label in labels:
            own = [r for r in records if (r["config"]["budget"], r["config"]["method"]["label"]) == (budget, label)]
            if own:
                entries.append(_entry(label, budget, config["tasks"], own))
    scores = records[0]["scores"]
    return Comparison(
        config=config,
        entries=tuple(entries),
        rows={task: (scores[task]["train_rows"], scores[task]["rows"]) for task in config["tasks"]},
        majority={task: 100 * scores[task]["majority"] for task in config["tasks"]},
        caveats=_caveats(records),
    )


def _entry(label: str, budget: int, tasks: list[str], records: list[Record]) -> Entry:
    parameters = records[0]["parameters"]
    return Entry(
        label=label,
        budget=budget,
        rank=records[0]["config"]["method"]["rank"],
        parameters=parameters["adapter"],
        heads=parameters["heads"],
        base=parameters["base"],
        seeds=tuple(sorted(r["config"]["seed"] for r in records)),
        tasks={
            task: _cell(
                [r["scores"][task]["score"] for r in records], [r["scores"][task]["standard_error"] for r in records]
            )
            for task in tasks
        },
        metrics={
            task: {
                name: 100 * float(np.mean([r["scores"][task]["metrics"][name] for r in records]))
                for name in records[0]["scores"][task]["metrics"]
            }
            for task in tasks
        },
        score=_cell([r["score"] for r in records], _mean_errors(records)),
    )


def _caveats(records: list[Record]) -> list[str]:
    """Where the runs of a comparison were made under differing circumstances, or unclear ones."""
    surroundings = [r["environment"] for r in records]
    lines = []
    if any(s["source"] == "mirror" for s in surroundings):
        lines.append("Data came from a mirror and may be subsets of the public sets: see the numbers of rows.")
    if any((s["git"] or {}).get("dirty", True) for s in surroundings):
        lines.append("Some of these runs were made from a checkout with uncommitted changes.")
    for what, values in {
        "revisions of the code": [(s["git"] or {}).get("revision") for s in surroundings],
        "package versions": [json.dumps(s["packages"]) for s in surroundings],
        "hardware": [s["hardware"] for s in surroundings],
    }.items():
        if len(set(values)) > 1:
            lines.append(f"These runs were made with {len(set(values))} different {what}.")
    return lines


def _mean_errors(records: list[Record]) -> list[float]:
    """Standard errors of the mean score of the tasks, whose rows are independent of each other."""
    return [np.sqrt(sum(s["standard_error"] ** 2 for s in r["scores"].values())) / len(r["scores"]) for r in records]


def _cell(values: list[float], errors: list[float]) -> Cell:
    spread = 100 * float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(100 * float(np.mean(values)), len(values), spread, 100 * float(np.mean(errors)))

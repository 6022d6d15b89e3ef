"""All settings in one table, and which adapter they speak for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median

from benchmarks.experiment.methods import order_for_display
from reports.evidence.comparison import PLAIN
from reports.evidence.differences import BETTER, WORSE, Difference
from reports.evidence.entries import Entry
from reports.evidence.results import Results
from reports.evidence.settings import HALF, Setting, by_case
from reports.tables.scores import scored_over_plain
from reports.tables.significance import counted
from reports.tables.table import Table, Text


def summary_table(settings: Sequence[Setting]) -> Table:
    """A row per setting, a column per method: the score, and in parentheses the advantage over plain LoRA."""
    labels = order_for_display({e.name for setting in settings for e in setting.tests.matched})
    rows = []
    for setting in settings:
        base = setting.comparison.entries[0].base
        budget = f"{setting.budget:,} ({setting.budget / base:.1%})" if setting.protocol != "paper" else "as released"
        cells = [_summed([e for e in setting.tests.matched if e.name == label], setting) for label in labels]
        rows.append([setting.name, setting.protocol, budget, setting.seeds, *cells])
    notes = [
        "Mean score of each suite in percent; in parentheses the advantage over plain LoRA in points with its 95% interval. "
        "Bold (a star in a terminal): significant."
    ]
    return Table(
        "every-setting", "Every suite at every budget", ["suite", "protocol", "budget", "seeds", *labels], rows, notes
    )


def _summed(entries: list[Entry], setting: Setting) -> Text | str:
    """A method's score, or those of several of its settings."""
    if not entries:
        return ""
    if len(entries) == 1:
        return scored_over_plain(setting.tests, entries[0])
    return "; ".join(f"{entry.label} {scored_over_plain(setting.tests, entry)}" for entry in entries)


def advice(settings: Sequence[Setting], results: Results) -> Table:
    """Which adapter for which case, as far as the records support one."""
    rows = []
    for (protocol, where), own in by_case(settings).items():
        names = order_for_display({e.name for s in own for e in s.tests.matched} - {PLAIN})
        over = {name: [difference for s in own for difference in s.over_plain(name)] for name in names}
        good = {name: d for name, d in over.items() if d and _mostly_better(d)}
        best = max(good, key=lambda name: mean(d.value for d in good[name]), default=PLAIN)
        why = f"against plain LoRA {counted(good[best])}" if good else "no other is shown to be better in most comparisons"
        shares = sorted({s.budget / s.comparison.entries[0].base for s in own if s.budget})
        ends = dict.fromkeys(f"{share:.1%}" for share in (*shares[:1], *shares[-1:]))
        budgets = " to ".join(ends) or "as released"
        rows.append([where, protocol, budgets, best, why, _cost(best, own, results)])
    head = ["your tasks", "protocol", "budgets measured, of the base", "adapter", "because", "unmerged"]
    notes = [
        f"Conflict: above {HALF:g} on the scale of generated tasks; how much real tasks conflict, `mtl-lora diagnose` tells."
    ]
    return Table("advice", "Which adapter for my case?", head, rows, notes)


def _mostly_better(differences: Sequence[Difference]) -> bool:
    counts = Counter(d.verdict for d in differences)
    return counts[BETTER] > len(differences) / 2 and not counts[WORSE]


def _cost(method: str, settings: Sequence[Setting], results: Results) -> str:
    """The median time of a forward pass by the base's."""
    entries = [e for s in settings for e in s.comparison.entries if e.name == method]
    diagnoses = [found for e in entries for run in e.runs.values() if (found := results.diagnosis(run))]
    return f"{median(d.inference.unmerged_ratio for d in diagnoses):.2f}" if diagnoses else ""

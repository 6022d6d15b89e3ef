"""Do tasks stand in each other's way? Each method against one LoRA per task, and what diagnoses found inside."""

from __future__ import annotations

from itertools import combinations
from statistics import mean

from benchmarks.records.measurements import Cosines, Diagnosis, Stage
from reports.evidence.comparison import Comparison
from reports.evidence.results import Results
from reports.evidence.significance import MEAN, PairedTests
from reports.tables.scores import difference
from reports.tables.table import Cell, Table, Text

ALONE = "lora-per-task"
GAIN_NOTES = (
    "Points over a LoRA of the whole budget for each task, which shares nothing but the frozen base and what stands on it "
    "(heads, a projection of pictures) and trains as many times the parameters as there are tasks: a gain or a loss may "
    "come from sharing, from the number of parameters, or from the method. Bold: significant.",
)
INSIDE_NOTES = ("Of trained adapters; D x before and C D x after the task's core. Seeds: those that were diagnosed.",)


def gain_table(comparison: Comparison, tests: dict[int, PairedTests], name: str) -> Table | None:
    """A row per task and budget, a column per method; None where no LoRA per task was measured."""
    labels = list(dict.fromkeys(entry.label for entry in comparison.entries if not entry.reference))
    rows: list[list[Cell]] = []
    for budget, paired in tests.items():
        entries = {entry.label: entry for entry in paired.entries}
        if ALONE not in entries:
            continue
        alone = entries[ALONE]
        for task in (*comparison.majority, MEAN):
            cells = [
                difference(paired.difference(label, ALONE, task), entries[label], alone) if label in entries else ""
                for label in labels
            ]
            score = alone.score if task == MEAN else alone.tasks[task]
            rows.append([f"{budget:,}", task, Text(str(score), runs=tuple(alone.runs.values())), *cells])
    if not rows:
        return None
    title = f"Against a LoRA of the whole budget for each task: {comparison.subject}"
    return Table(name, title, ["budget", "task", ALONE, *labels], rows, GAIN_NOTES, paper=False)


def diagnosed(comparison: Comparison, results: Results) -> dict[tuple[str, int], dict[int, Diagnosis]]:
    """By method and budget, then seed: what was found inside the runs that were diagnosed."""
    found = {}
    for entry in comparison.entries:
        own = {seed: diagnosis for seed, run in entry.runs.items() if (diagnosis := results.diagnosis(run))}
        if own:
            found[entry.label, entry.budget] = own
    return found


def inside_table(comparison: Comparison, results: Results, name: str) -> Table | None:
    """A row per method and budget that was diagnosed; None where none was."""
    rows: list[list[Cell]] = []
    for (label, budget), by_seed in sorted(diagnosed(comparison, results).items(), key=lambda item: item[0][1]):
        own = list(by_seed.values())
        runs = tuple(diagnosis.id for diagnosis in own)
        cosine, overlap = _between([d.gradient_cosine for d in own]), _between([d.update_overlap for d in own])
        apart = [_silhouettes([d.separation.before for d in own]), _silhouettes([d.separation.after for d in own])]
        rows.append([f"{budget:,}", label, Text(cosine, runs=runs), overlap, *apart, str(len(own))])
    if not rows:
        return None
    head = ["budget", "method", "gradient cosine", "overlap of updates", "silhouette of D x", "of C D x", "seeds"]
    return Table(name, f"Inside the adapters: {comparison.subject}", head, rows, INSIDE_NOTES, paper=False)


def _silhouettes(stages: list[Stage]) -> str:
    return _mean([stage.silhouette for stage in stages])


def _between(found: list[Cosines]) -> str:
    """The mean over pairs of different tasks, and over diagnoses."""
    pairs = list(combinations(range(len(found[0])), 2))
    return _mean([cosines[i][j] for cosines in found for i, j in pairs])


def _mean(values: list[float | None]) -> str:
    """Of those that are defined."""
    defined = [value for value in values if value is not None]
    return f"{mean(defined):+.2f}" if defined else ""

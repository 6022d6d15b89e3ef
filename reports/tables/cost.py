"""What methods cost: time, memory, checkpoints, and inference merged and unmerged."""

from __future__ import annotations

import statistics

from benchmarks.records.measurements import SpeedRecord
from benchmarks.records.schema import Git, RunRecord
from reports.evidence.comparison import Comparison
from reports.evidence.results import Results
from reports.tables.table import Cell, Table, Text

BYTES = 4  # trained tensors are kept in float32
HEAD = ("budget", "method", "trained", "ms per sample", "memory, GiB", "checkpoint, MB", "unmerged", "merged")


def cost_table(comparison: Comparison, results: Results, name: str) -> Table:
    """A row per method and budget."""
    records = {record.id: record for record in comparison.records}
    rows: list[list[Cell]] = []
    for entry in sorted(comparison.entries, key=lambda entry: entry.budget):
        own = [records[run] for run in entry.runs.values()]
        times = [time for record in own if (time := _milliseconds(record))]
        runs, trained = tuple(entry.runs.values()), entry.parameters + entry.heads
        rows.append(
            [
                f"{entry.budget:,}" if entry.budget else "none",
                entry.label,
                f"{trained:,}",
                Text(f"{statistics.median(times):.1f}" if times else "", runs=runs),
                f"{max(record.training.peak_memory_bytes for record in own) / 2**30:.1f}",
                f"{trained * BYTES / 1e6:.2f}",
                *_inference(runs, results),
            ]
        )
    hardware = sorted({record.environment.hardware for record in comparison.records})
    return Table(name, f"Cost: {comparison.subject}, on {'; '.join(hardware)}", HEAD, rows, paper=False)


def _inference(runs: tuple[str, ...], results: Results) -> list[str]:
    timings = [diagnosis.inference for run in runs if (diagnosis := results.diagnosis(run))]
    kinds = [[timing.unmerged_ratio for timing in timings], [timing.merged_ratio for timing in timings]]
    return [f"{statistics.median(ratios):.2f}" if ratios else "" for ratios in kinds]


def speed_table(record: SpeedRecord, name: str) -> Table:
    """What ``python -m benchmarks.speed`` measured: a row a contestant, a column a backbone and precision."""
    settings = {f"{result.backbone}, {result.precision}": result.rows for result in record.results}
    by_contestant: dict[str, dict[str, str]] = {}
    for setting, rows in settings.items():
        for row in rows:
            cell = f"{row.step_ratio:.2f} ({row.forward_ratio:.2f})"
            by_contestant.setdefault(row.contestant, {})[setting] = cell
    table = [[contestant, *(cells.get(s, "") for s in settings)] for contestant, cells in by_contestant.items()]
    environment = record.environment
    title = f"Training steps, in parentheses forward passes, by PEFT LoRA's, on {environment.hardware}"
    revision = (environment.git or Git("unknown", dirty=False)).revision[:12]
    notes = [f"Medians of ratios within {record.rounds} rounds; `{environment.command}`, revision {revision}."]
    return Table(name, title, ["contestant", *settings], table, notes)


def _milliseconds(record: RunRecord) -> float | None:
    """A training sample; None where none was trained on, or a part of the time is not known."""
    training = record.training
    if not training.samples or training.resumed_from_step:
        return None
    return 1000 * training.seconds / training.samples

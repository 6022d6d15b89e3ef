"""What must be said of the runs of a comparison: which are lacking, and how unlike their circumstances were."""

from __future__ import annotations

import json

from benchmarks.records.schema import FailureRecord, RunRecord
from benchmarks.words import plural


def unfinished(records: list[RunRecord], failures: list[FailureRecord]) -> list[str]:
    """Where runs diverged or failed: numbers of the others alone are numbers of those that went well."""
    ended: dict[tuple[str, int], list[RunRecord | FailureRecord]] = {}
    every: list[RunRecord | FailureRecord] = [*records, *failures]
    for record in every:
        ended.setdefault((record.config.method.label, record.config.budget), []).append(record)
    lines = []
    for (label, budget), own in ended.items():
        for status in ("diverged", "failed"):
            if count := sum(record.status == status for record in own):
                at = f" at {budget:,}" if budget else ""
                ended_so = f"{count} of {plural(len(own), 'seed')} {status}"
                lines.append(f"{label}{at}: {ended_so}; its numbers are of the others alone.")
    return lines


def caveats(records: list[RunRecord]) -> list[str]:
    """Where the runs of a comparison were made under differing circumstances, or unclear ones."""
    surroundings = [r.environment for r in records]
    lines = []
    if any(r.source == "mirror" for r in records):
        lines.append("Data came from a mirror and may be subsets of the public sets: see the numbers of rows.")
    if any(s.git and s.git.dirty for s in surroundings):
        lines.append("Some of these runs were made from a checkout with uncommitted changes.")
    if not all(s.git for s in surroundings):
        lines.append("Some of these runs were made outside a checkout: the revision of their code is not known.")
    differing: dict[str, list[str | None]] = {
        "revisions of the code": [s.git.revision if s.git else None for s in surroundings],
        "package versions": [json.dumps(s.packages) for s in surroundings],
        "hardware": [s.hardware for s in surroundings],
    }
    for what, values in differing.items():
        if len(set(values)) > 1:
            lines.append(f"These runs were made with {len(set(values))} different {what}.")
    return lines

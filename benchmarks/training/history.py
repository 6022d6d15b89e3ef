"""What the Trainer's log says of a run's course; a step that was done again after a kill counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.records import schema

EVALUATED = "eval_"  # in front of scores in the log, which services tell apart by it
Log = Sequence[Mapping[str, float]]


def losses_by_step(log: Log) -> dict[int, float]:
    """The training losses reported, each the mean since the one before."""
    return {int(entry["step"]): entry["loss"] for entry in log if "loss" in entry}


def dev_scores(log: Log, tasks: Sequence[str]) -> schema.DevScores | None:
    """The scores on dev; None where there are none."""
    by_step = {int(entry["step"]): entry for entry in log if f"{EVALUATED}{tasks[0]}" in entry}
    if not by_step:
        return None
    scores = {task: tuple(entry[f"{EVALUATED}{task}"] for entry in by_step.values()) for task in tasks}
    return schema.DevScores(tuple(by_step), scores)

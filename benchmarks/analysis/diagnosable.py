"""Which runs can be looked into: those with adapters that hold one update for each task, and with their trained tensors."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.experiment.methods import order_for_display
from benchmarks.records.config import RunConfig
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.suites import all_suites
from benchmarks.words import plural
from mtl_lora import METHODS, InvalidInput


def runs_to_diagnose(store: RunStore, run_ids: Sequence[str]) -> list[RunConfig]:
    """The runs of these ids, all of them looked at before anything is done; where none is named, every one that can be
    looked into, with a line for what cannot."""
    if run_ids:
        return [_named(store, run_id) for run_id in dict.fromkeys(run_ids)]
    runs, skipped = [], Counter[str]()
    for record in store.readable():
        if not isinstance(record, RunRecord) or record.config.stage == "trial":
            continue
        why = _obstacle(record)
        if why is None and not store.trained_path(record.id).exists():
            why = "without their trained tensors"
        if why is None:
            runs.append(record.config)
        else:
            skipped[why] += 1
    if not runs:
        raise InvalidInput(f"{store.folder / 'runs'} holds no run of an adapter with its trained tensors beside it")
    for why, count in skipped.items():
        print(f"skipped: {plural(count, 'run')} {why}", file=sys.stderr)
    return runs


def _named(store: RunStore, run_id: str) -> RunConfig:
    """The run of an id; InvalidInput where it cannot be looked into."""
    record = store.get(run_id)
    if why := _obstacle(record):
        kinds = {name: kind for name, kind in METHODS.items() if kind().shapes(1, 1, 1) and not kind.routes_by_token}
        raise InvalidInput(f"run {run_id} is {why}; diagnosed are runs of {', '.join(order_for_display(kinds))}")
    if not store.trained_path(run_id).exists():
        raise InvalidInput(f"{store.trained_path(run_id)} is missing: only trained tensors can be looked into")
    return record.config


def _obstacle(record: RunRecord) -> str | None:
    """Why a run cannot be diagnosed, whatever lies beside its record; None where it can."""
    method, suite = record.config.method, record.config.suite
    if method.name not in METHODS:
        return f"of {method.name}, a method that is unknown here"
    if record.own_suite is None and suite not in all_suites():
        return f"of {suite}, a suite that is unknown here"
    if not record.parameters.adapter:
        return f"of {method.label}, which trains no adapter"
    if METHODS[method.name].routes_by_token:
        return f"of {method.label}, which routes by token, so no task of it is one update"
    if record.config.backbone.quantise:
        return "on a quantised base, into which no task is merged"
    return None

"""Brings the records of a folder from schema 1 to today's, without changing a number."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.data.splits import load_task
from benchmarks.records.schema import RECORDS, RUN, Record, RunRecord, to_json
from benchmarks.records.store import RunStore, read_record, write_whole
from benchmarks.sources import Source
from benchmarks.sources.pins import PINNED
from benchmarks.suites import find_suite
from benchmarks.words import plural
from mtl_lora.errors import InvalidInput

LOGGED = 10  # times per run, as schema 1 did
# Formulas that changed for half precision alone: in float32 they are the same, so that these runs are not done again.
SAME_IN_FLOAT32 = {"dora": 2}


def upgrade(folder: Path, source: Source | None = None) -> None:
    """Upgrade every record in ``folder/runs`` and ``folder/*/runs``, and rename what belongs to it: its id is another.

    What is upgraded already is left alone. A record's old file goes last, so that after a kill the same command goes on.

    Args:
        folder: Of results.
        source: Of the data, from which predictions of ranked rows get their queries where they lack them; None leaves them.
    """
    stores = [RunStore(runs.parent) for runs in [folder / "runs", *sorted(folder.glob("*/runs"))]]
    places = [(store, path) for store in stores for path in sorted((store.folder / "runs").glob("*.json"))]
    if not places:
        raise InvalidInput(f"no run records in {folder / 'runs'} or {folder / '*' / 'runs'}")
    upgraded = 0
    new_ids: dict[str, str] = {}
    for store, path in places:
        try:
            record, changed = _upgrade(store, path)
        except InvalidInput as error:
            print(f"left as it is: {error}", file=sys.stderr)
        else:
            upgraded += changed
            if former := _former_id(record):
                new_ids[former] = record.id
    print(f"{plural(len(places), 'record')}, {upgraded} of them upgraded to schema {RUN}")
    _rename_links(folder / "report" / "index.html", new_ids)
    if source is not None:
        print(f"queries told in the predictions of {plural(sum(add_queries(store, source) for store in stores), 'record')}")


def _rename_links(page: Path, new_ids: Mapping[str, str]) -> None:
    """Have the links of a report that was made before lead to the records under their new ids."""
    if page.exists():
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\b[0-9a-f]{16}\b", lambda match: new_ids.get(match[0], match[0]), text)
        write_whole(page, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def add_queries(store: RunStore, source: Source) -> int:
    """Name the query of each ranked row in the predictions of a folder that do not; of how many records."""
    load, count = cache(partial(load_task, source=source)), 0
    for record in store.finished():
        run = record.config
        ranked = [task for task in find_suite(run.suite).select(run.tasks) if task.query_column]
        path = store.predictions_path(record.id)
        frame = pd.read_parquet(path) if ranked else None
        if frame is None or "query" in frame:
            continue
        frame["query"] = None
        for task in ranked:
            data = load(task, split=run.split, max_train=run.max_train, max_test=run.max_eval)
            if data.fingerprint != run.data[task.name]:
                raise InvalidInput(
                    f"the rows of task {task.name} are not those of run {record.id}: give the --mirror it had"
                )
            query, ranked_rows = dict(zip(data.test["row"], data.test["query"], strict=True)), frame["task"] == task.name
            frame.loc[ranked_rows, "query"] = frame.loc[ranked_rows, "row"].map(query)
        write_whole(path, partial(frame.to_parquet, index=False))
        count += 1
    return count


def _upgrade(store: RunStore, path: Path) -> tuple[Record, bool]:
    """The upgraded record of a file, and whether it was not so before."""
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        if old["schema"] == RUN:
            return read_record(path), False
        record, former = from_schema_1(old), str(old["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is no record of schema 1 ({str(error).splitlines()[0]})") from error
    new = store.record_path(record.id)
    if new.exists() and _former_id(read_record(new)) != former:
        raise InvalidInput(f"{path} is of the same run as {new}")
    for place in (store.predictions_path, store.trained_path):
        if place(former).exists():
            place(former).rename(place(record.id))
    diagnosis = store.diagnosis_path(former)
    if diagnosis.exists():
        text = json.dumps(json.loads(diagnosis.read_text(encoding="utf-8")) | {"id": record.id}) + "\n"
        write_whole(store.diagnosis_path(record.id), lambda temporary: temporary.write_text(text, encoding="utf-8"))
        diagnosis.unlink()
    write_whole(new, lambda temporary: temporary.write_text(to_json(record), encoding="utf-8"))
    path.unlink()
    return record, True


def _former_id(record: Record) -> str | None:
    """The id that an earlier schema gave a run; none to one that failed, of which it kept no record."""
    return record.former_id if isinstance(record, RunRecord) else None


def from_schema_1(old: dict[str, Any]) -> RunRecord:
    """A record of schema 1, whose runs had all finished, as one of today's."""
    training, environment = dict(old["training"]), dict(old["environment"])
    execution = {name: training.pop(name) for name in ("devices", "accumulation", "gradient_checkpointing")}
    moved = {name: environment.pop(name) for name in ("source", "created")}
    every = max(training["steps"] // LOGGED, 1)
    new = (
        old
        | moved
        | {
            "schema": RUN,
            "status": "finished",
            "former_id": old["id"],
            "config": _config(old["config"], environment.pop("weights_sha256")),
            "training": training | {"loss_steps": [every * (place + 1) for place in range(len(training["loss"]))]},
            "execution": execution,
            "environment": environment,
        }
    )
    config = RECORDS.validate_python(new).config
    record = RECORDS.validate_python(new | {"id": config.id})
    assert isinstance(record, RunRecord)
    return record


def _config(old: dict[str, Any], weights_sha256: str | None) -> dict[str, Any]:
    method, backbone = dict(old["method"]), old["backbone"]
    named = {name: method.pop(name) for name in ("label", "name")}
    released = method.pop("released", {})  # by which runs of protocol paper were trained, in place of what they say
    version = SAME_IN_FLOAT32.get(named["name"], 1) if old["precision"] == "float32" else 1
    pinned = PINNED.get((backbone["id"], backbone["revision"]), {})
    weights = None
    if weights_sha256 is not None:
        fits = pinned.get("weights_sha256", weights_sha256) == weights_sha256
        others = {name: pinned.get(name) if fits else None for name in ("config_sha256", "tokenizer_sha256")}
        weights = {"weights_sha256": weights_sha256, **others}
    suite = find_suite(old["suite"])
    suite = suite if old.get("conflict") is None else suite.with_conflict(old["conflict"])
    return old | {
        "definitions": {task.name: task.definition for task in suite.select(old["tasks"])},
        "method": named | {"settings": method, "version": version},
        "recipe": old["recipe"] | {name: released[name] for name in ("learning_rate", "warmup") if released},
        "backbone": backbone | {"weights": weights} | ({"max_length": released["max_length"]} if released else {}),
        "answering": old["answering"] | {"match": released["match"]} if released else old.get("answering"),
    }

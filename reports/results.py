"""Everything under a folder of results: run records, predictions, diagnoses and published numbers."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.records import RunStore
from mtl_lora.errors import InvalidInput

Record = dict[str, Any]


class Results:
    """The runs of a folder and of the folders within it; a run that lies in several is taken from the first."""

    def __init__(self, folder: Path) -> None:
        """InvalidInput where there are no records, or a corrupt one."""
        self.folder = folder
        self._stores: dict[str, RunStore] = {}
        self.records: list[Record] = []
        for runs in [folder / "runs", *sorted(folder.glob("*/runs"))]:
            store = RunStore(runs.parent)
            for record in store.all():
                if record["id"] not in self._stores:
                    self._stores[record["id"]] = store
                    self.records.append(record)
        if not self.records:
            raise InvalidInput(f"no run records in {folder / 'runs'}: `mtl-lora run` makes them")

    def path(self, run: str) -> Path:
        """The file of a record."""
        return self._stores[run].record_path(run)

    def predictions_path(self, run: str) -> Path:
        """The file of what a run answered."""
        return self.path(run).with_suffix(".predictions.parquet")

    def predictions(self, run: str) -> pd.DataFrame:
        """What a run answered: columns task, row, label, prediction, and what its way of answering adds."""
        return pd.read_parquet(self.predictions_path(run))

    def diagnosis(self, run: str) -> dict[str, Any] | None:
        """What ``mtl-lora diagnose`` found inside a run, or None."""
        path = self._stores[run].diagnosis_path(run)
        return json.loads(path.read_text()) if path.exists() else None

    def speed(self) -> dict[str, dict[str, Any]]:
        """What the speed benchmark measured, by the name of its file."""
        return {path.stem: json.loads(path.read_text()) for path in sorted(self.folder.glob("speed/*.json"))}

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published numbers: suite, model, method, rank, parameters, task, metric, value, source, hand, note; all text."""
        tables = [
            pd.read_csv(path, dtype=str, keep_default_na=False) for path in sorted(self.folder.glob("published/*.csv"))
        ]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

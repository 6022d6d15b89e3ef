"""Rows of a user's own files: CSV, TSV, JSON, JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Dataset

from benchmarks.sources.location import readable
from benchmarks.suites.spec import Task
from mtl_lora.errors import InvalidInput, unknown

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*SEPARATORS, ".json", ".jsonl", ".parquet")


def read_file(path: Path) -> Dataset:
    """All rows of a file, every column of it; those of CSV and TSV, which know no types, as texts."""
    if path.suffix not in ENDINGS:
        raise unknown(f"kind of file of {path}, by its ending", path.suffix, ENDINGS)
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file")
    with readable(str(path)):
        rows = Dataset(pq.read_table(path)) if path.suffix == ".parquet" else Dataset.from_list(_read(path))
    if not len(rows):
        raise InvalidInput(f"{path} is empty")
    return rows


def task_rows(task: Task, path: Path) -> Dataset:
    """The rows of a file, the labels as data sets have them: names or places of classes, grades as numbers."""
    rows = read_file(path)
    if task.written or task.label_column not in rows.column_names:
        return rows
    labels = rows[task.label_column][:]
    typed = _grades(labels) if task.graded else _classes(labels, task.labels)
    return rows.remove_columns(task.label_column).add_column(task.label_column, typed)


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix in SEPARATORS:
        return _table(path, SEPARATORS[path.suffix])
    return _lines(path) if path.suffix == ".jsonl" else _list(path.read_bytes(), path)


def _table(path: Path, separator: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        header, *rows = [row for row in reader if row] or [[]]
    if len(set(header)) != len(header):
        raise InvalidInput(f"{path} has two columns of one name: {', '.join(header)}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InvalidInput(f"{path}, row {number}: {len(row)} values for the {len(header)} columns {', '.join(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            rows += _list(b"[" + line + b"]", f"{path}, line {number}")
    return rows


def _list(content: bytes, where: object) -> list[dict[str, Any]]:
    rows = json.loads(content)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"{where} is no JSON object of columns, nor a list of such")
    return rows


def _grades(labels: Sequence[Any]) -> list[Any]:
    try:
        return [float(label) for label in labels]
    except (TypeError, ValueError):
        return list(labels)  # refused, with their rows, where columns are checked


def _classes(labels: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Numbers that are names of classes are these, rather than places of classes."""
    texts = [str(label) for label in labels]
    if all(text in names for text in texts):
        return texts
    return [int(text) for text in texts] if all(text.isdecimal() for text in texts) else list(labels)

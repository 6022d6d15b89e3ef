"""Suites of a user's own: a YAML file of their fields, or a Python file that defines SUITE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from yaml.constructor import ConstructorError

from benchmarks.plugins import load_plugin
from benchmarks.suites.spec import Cloze, Pictures, Suite, Task
from mtl_lora.errors import InvalidInput

ENDINGS = (".yaml", ".yml", ".py")
SUITES: TypeAdapter[Suite] = TypeAdapter(Suite)
KINDS: dict[str, type[Cloze | Pictures]] = {"cloze": Cloze, "pictures": Pictures}  # of what lies in a field of that name


def read_suite(path: Path) -> Suite:
    """The suite that a file defines, the paths of its data made absolute: they are relative to the file.

    Raises:
        InvalidInput: One line that names file, task and field.
    """
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file")
    if path.suffix == ".py":
        suite = getattr(load_plugin(path), "SUITE", None)
        if not isinstance(suite, Suite):
            raise InvalidInput(f"{path} defines no SUITE that is a benchmarks.suites.spec.Suite")
    else:
        suite = suite_of(_yaml(path), str(path))
    return replace(suite, tasks=tuple(_placed(task, path) for task in suite.tasks))


def suite_of(raw: Any, where: str) -> Suite:
    """A suite from its fields as JSON has them, of a file or of a record; those that say where rows come from may be left
    out."""
    if isinstance(raw, Mapping) and isinstance(raw.get("tasks"), list):
        raw = {"summary": "", **raw, "tasks": [_whole(task) for task in raw["tasks"]]}
    try:
        return SUITES.validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise InvalidInput(f"{where}{_told(error.errors(include_url=False)[0], raw)}") from error


class _Loader(yaml.SafeLoader):
    """As YAML's specification wants it, and PyYAML does not: a key that is there twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise ConstructorError(None, None, f"{key} is there twice", node.value[place][0].start_mark)
        return super().construct_mapping(node, deep)


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _whole(task: Any) -> Any:
    """A task with what is not asked for in a file."""
    if not isinstance(task, Mapping):
        return task
    hub = {"config": "default", "revision": "main"} if task.get("dataset") else {"dataset": "", "config": "", "revision": ""}
    return {"summary": "", **hub, **task}


def _placed(task: Task, path: Path) -> Task:
    """The task with its data file where it lies; InvalidInput where there is none."""
    where = f"{path}, task {task.name}"
    if not task.local:
        return task
    if task.files is None:
        raise InvalidInput(f"{where}: says neither files, of its own data, nor dataset, of the hub")
    if task.pictures or task.picture_column:
        raise InvalidInput(f"{where}, pictures: are read from data sets of the hub, not from files")
    file = str(path.resolve().parent / task.files)
    placed = replace(task, files=file)
    for split in (task.train_split, task.test_split):
        if not placed.file(split).is_file():
            raise InvalidInput(f"{where}, files: {placed.file(split)} is not a file")
    return placed


def _told(error: ErrorDetails, raw: Any) -> str:
    """Which field of which task is wrong, and how."""
    if error["type"] == "value_error":  # which names both
        return f", {error['msg'].removeprefix('Value error, ')}"
    place = [*error["loc"]]
    kind: type[Suite | Task | Cloze | Pictures] = Suite
    task = ""
    if place[:1] == ["tasks"] and len(place) > 1:
        entry = raw["tasks"][place[1]]
        name = entry.get("name") if isinstance(entry, Mapping) else None
        task, kind, place = f", task {name or f'without a name at place {place[1]}'}", Task, place[2:]
    for part in place[:-1]:
        kind = KINDS.get(str(part), kind)
    field = f", {'.'.join(map(str, place))}" if place else ""
    return f"{task}{field}: {_why(error, kind)}"


def _why(error: ErrorDetails, kind: type[Suite | Task | Cloze | Pictures]) -> str:
    if error["type"] == "unexpected_keyword_argument":
        return f"no such field; there are {', '.join(field.name for field in fields(kind))}"
    if error["type"] == "missing":
        return "is missing"
    why, value = f"{error['msg'].replace('array', 'list')}, not {error['input']!r}", error["input"]
    return f"{why}: put it in quotes" if error["type"] == "string_type" and isinstance(value, bool | int | float) else why

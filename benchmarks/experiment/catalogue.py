"""Names, summaries and settings of methods and answer modes, read from their source: listing them need not load torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.plugins import is_plugin, loaded_plugins
from mtl_lora.plugins import method_plugins

ROOT = Path(__file__).parents[2]
SHARED = ("rank", "alpha", "dropout")  # settings that every method has


class Listed(NamedTuple):
    """A registered class. settings: those of its own, with their defaults."""

    summary: str
    settings: dict[str, object]


@cache
def methods() -> dict[str, Listed]:
    """Every adaptation method by its name, those of installed plugins too, in no particular order."""
    plugins = (find_spec(plugin.module) for plugin in method_plugins())
    files = (Path(spec.origin) for spec in plugins if spec and spec.origin)
    return _registered(*_files("baselines"), *_files("mtl_lora"), *files)


def plugin_methods() -> dict[str, Listed]:
    """Those of files that ``--plugin`` imported."""
    if not loaded_plugins():
        return {}
    from mtl_lora import METHODS

    kinds = {name: kind for name, kind in METHODS.items() if is_plugin(kind.__module__)}
    return {
        name: Listed(kind.summary, {f.name: f.default for f in fields(kind) if f.name not in SHARED})
        for name, kind in kinds.items()
    }


@cache
def answer_modes() -> dict[str, Listed]:
    """Every answer mode by its name, in no particular order."""
    return _registered(*_files("benchmarks/answering"))


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("*.py"))


def _registered(*files: Path) -> dict[str, Listed]:
    """The classes in these files that have a name and a summary; what they inherit from classes there is theirs too."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    listed = {}
    for node in classes.values():
        values = dict(_literals(node, fields=False))
        if isinstance(values.get("name"), str):
            settings = {name: value for base in _line(node, classes) for name, value in _literals(base, fields=True)}
            listed[str(values["name"])] = Listed(
                str(values["summary"]), {n: v for n, v in settings.items() if n not in SHARED}
            )
    return listed


def _line(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """A class and those it inherits from, the farthest first, as dataclasses order their fields."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _line(classes[base.id], classes)
    yield node


def _literals(node: ast.ClassDef, fields: bool) -> Iterator[tuple[str, object]]:
    """Annotated names of a class with their values: its dataclass fields, or its class variables."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            of_the_class = "ClassVar" in ast.unparse(line.annotation)
            if of_the_class != fields:
                yield line.target.id, ast.literal_eval(_default(line.value))


def _default(value: ast.expr) -> ast.expr:
    """Itself, or what ``field(default=..)`` has."""
    if isinstance(value, ast.Call):
        return next(word.value for word in value.keywords if word.arg == "default")
    return value

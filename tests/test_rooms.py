"""Imports go one way: down the list of rooms, and round in circles nowhere."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = [
    "benchmarks.cli",
    "benchmarks.commands",
    "benchmarks.options",
    "benchmarks.listing",
    "reports",
    "reports.figures",
    "reports.tables",
    "reports.evidence",
    "benchmarks.analysis",
    "benchmarks.speed",
    "benchmarks.engines",
    "benchmarks.training",
    "benchmarks.experiment",
    "benchmarks.answering",
    "benchmarks.data",
    "benchmarks.scoring",
    "benchmarks.sources",
    "benchmarks.suites",
    "benchmarks.metrics",
    "benchmarks.world",
    "benchmarks.records",
    "benchmarks.progress",
    "benchmarks.words",
    "benchmarks",
    "baselines",
    "mtl_lora",
]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("benchmarks", "reports", "baselines", "mtl_lora")
    for path in (ROOT / package).rglob("*.py")
}


def imports(module: str) -> set[str]:
    """The modules of this project that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
    return found & set(FILES)


def room(module: str) -> int:
    """The place of the innermost room that a module lies in."""
    return max((i for i, name in enumerate(ROOMS) if f"{module}.".startswith(f"{name}.")), key=lambda i: len(ROOMS[i]))


def test_every_folder_is_a_room() -> None:
    folders = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert folders <= set(ROOMS)


def test_no_import_goes_up() -> None:
    up = [f"{module} -> {other}" for module in FILES for other in imports(module) if room(other) < room(module)]
    assert up == []


def test_no_imports_go_in_circles() -> None:
    TopologicalSorter({module: imports(module) for module in FILES}).prepare()  # CycleError where they do

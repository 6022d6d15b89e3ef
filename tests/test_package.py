"""What is installed from here: every file that the code reads, by one version, and a library part that needs little."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("mtl_lora", "baselines", "benchmarks", "reports")


def test_a_built_package_holds_every_file_that_is_no_module() -> None:
    globs = PROJECT["tool"]["setuptools"]["package-data"]
    held = {path for package, own in globs.items() for glob in own for path in (ROOT / package.replace(".", "/")).glob(glob)}
    there = {path for package in PACKAGES for path in (ROOT / package).rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert there == held


def test_what_is_cited_is_this_version() -> None:
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M) == [PROJECT["project"]["version"]]


def test_the_library_part_imports_what_is_always_installed() -> None:
    imported = set()
    for path in (path for package in ("mtl_lora", "baselines") for path in (ROOT / package).glob("*.py")):
        for node in ast.parse(path.read_text()).body:  # what is imported within a function is for those who have it
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    required = {re.split(r"\W", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    assert imported - sys.stdlib_module_names - {"mtl_lora", "baselines"} <= required

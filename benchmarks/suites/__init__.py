"""Suites: a file in this folder that defines SUITE is one, and so is a file of a user's own that ``own`` reads.

``spec`` says what a suite is, ``credits`` whose data it is.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmarks.records.schema import Record, RunRecord
from benchmarks.suites.own import ENDINGS, read_suite, suite_of
from benchmarks.suites.spec import Suite
from mtl_lora.errors import InvalidInput, unknown

NOT_SUITES = ("spec", "task", "rules", "credits", "own")


def all_suites() -> dict[str, Suite]:
    """Every suite of this package by its name."""
    return {suite.name: suite for suite in map(_suite, _files(tuple(__path__)))}


@cache
def _files(path: tuple[str, ...]) -> list[str]:
    """The names of the files of suites in folders: they are looked for once."""
    return [module.name for module in pkgutil.iter_modules(path) if module.name not in NOT_SUITES]


@cache
def _suite(name: str) -> Suite:
    """The suite of a file in this folder."""
    file = find_spec(f"{__name__}.{name}")
    assert file is not None
    try:
        suite = getattr(importlib.import_module(file.name), "SUITE", None)
    except InvalidInput as error:
        raise InvalidInput(f"{file.origin}: {error}") from error
    if not isinstance(suite, Suite):
        raise InvalidInput(f"{file.origin} defines no SUITE that is a benchmarks.suites.spec.Suite")
    return suite


def find_suite(name: str) -> Suite:
    """The suite of that name, or of the file of that name; InvalidInput where there is none, with those there are."""
    suites = all_suites()
    if name.endswith(ENDINGS):
        suite = read_suite(Path(name))
        if suite.name in suites:
            raise InvalidInput(f"{name}, name: {suite.name} is a suite of this package: name yours otherwise")
        return suite
    if name not in suites:
        raise unknown("suite", name, suites)
    return suites[name]


def recorded_suite(record: Record) -> Suite:
    """The suite of a run, as it was then where it is a user's own; that of a failed run does not say what that is."""
    if isinstance(record, RunRecord) and record.own_suite is not None:
        return suite_of(record.own_suite, f"run {record.id}")
    suite = all_suites().get(record.config.suite)
    if suite is None:
        raise InvalidInput(f"run {record.id} is of {record.config.suite}, a suite that is unknown here")
    return suite

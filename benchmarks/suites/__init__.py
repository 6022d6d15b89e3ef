"""Suites: a file in this folder that defines SUITE is one. ``spec`` says what that is, ``credits`` whose data it is."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec

from benchmarks.suites.spec import Suite
from mtl_lora.errors import InvalidInput, unknown

NOT_SUITES = ("spec", "task", "rules", "credits")


def all_suites() -> dict[str, Suite]:
    """Every suite by its name."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_SUITES]
    found = [_suite(name) for name in names]
    return {suite.name: suite for suite in found}


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
    """The suite of that name, or InvalidInput that lists those there are."""
    suites = all_suites()
    if name not in suites:
        raise unknown("suite", name, suites)
    return suites[name]

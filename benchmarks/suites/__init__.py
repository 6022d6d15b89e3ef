"""Suites: a file in this folder that defines SUITE is one. ``spec`` says what that is, ``credits`` whose data it is."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.suites.spec import Suite
from mtl_lora.errors import unknown

NOT_SUITES = ("spec", "credits")


def all_suites() -> dict[str, Suite]:
    """Every suite by its name."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name not in NOT_SUITES]
    found = [importlib.import_module(f"{__name__}.{name}").SUITE for name in names]
    return {suite.name: suite for suite in found}


def find_suite(name: str) -> Suite:
    """The suite of that name, or InvalidInput that lists those there are."""
    suites = all_suites()
    if name not in suites:
        raise unknown("suite", name, suites)
    return suites[name]

"""Files of a user's own in a process that goes on with other tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import plugins
from benchmarks.metrics import registry
from mtl_lora import METHODS


@contextmanager
def forgotten_plugins() -> Iterator[None]:
    """What is registered inside is gone afterwards."""
    known: list[dict] = [METHODS, registry.METRICS, registry.OF_LABELS, registry.OF_TEXTS, plugins._LOADED]
    before = [dict(own) for own in known]
    try:
        yield
    finally:
        for own, earlier in zip(known, before, strict=True):
            own.clear()
            own.update(earlier)

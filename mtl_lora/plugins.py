"""Methods of other installed packages, found without loading torch."""

from __future__ import annotations

from importlib.metadata import EntryPoints, entry_points

METHOD_PLUGINS = "mtl_lora.methods"  # the entry point group in which packages name their modules of methods


def method_plugins() -> EntryPoints:
    """The modules of methods that installed packages name."""
    return entry_points(group=METHOD_PLUGINS)

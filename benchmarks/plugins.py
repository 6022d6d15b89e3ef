"""Python files of a user's own: importing one registers its methods and metrics; it may define a SUITE."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mtl_lora.errors import InvalidInput

_LOADED: dict[Path, ModuleType] = {}


def load_plugin(path: Path) -> ModuleType:
    """Import a Python file, once; InvalidInput where there is none or it cannot be imported."""
    path = path.resolve()
    if path in _LOADED:
        return _LOADED[path]
    if not path.is_file() or path.suffix != ".py":
        raise InvalidInput(f"{path} is not a Python file")
    import baselines  # noqa: F401  (the names of its methods are taken)

    name = f"plugin_{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}_{path.stem}"  # whatever folder it lies in
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InvalidInput(f"{path}{_line(error, path)}: {_what(error)}") from error
    _LOADED[path] = module
    return module


def load_plugins(paths: Iterable[Path] | None) -> None:
    """Import several."""
    for path in paths or ():
        load_plugin(path)


def loaded_plugins() -> tuple[Path, ...]:
    """Those of this process, which the processes that it starts need too."""
    return tuple(_LOADED)


def is_plugin(module: str) -> bool:
    """Whether the module of that name is one of them."""
    return any(module == plugin.__name__ for plugin in _LOADED.values())


def _line(error: Exception, path: Path) -> str:
    """Where in the file it went wrong."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _what(error: Exception) -> str:
    if isinstance(error, InvalidInput):
        return str(error)
    return " ".join("".join(traceback.format_exception_only(error)[-1:]).split())

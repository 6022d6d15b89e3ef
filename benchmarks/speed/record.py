"""How a benchmark of speed leaves what it measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.records.config import plain
from benchmarks.records.schema import Environment


def write_record(path: Path, about: Environment, measured: dict[str, Any]) -> None:
    """Write what was measured, by which machine and command, and when; the folder is made."""
    environment = plain(about) | {"created": datetime.now(UTC).isoformat(timespec="seconds")}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment} | measured, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}", flush=True)

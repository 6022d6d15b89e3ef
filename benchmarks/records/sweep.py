"""Removing what killed processes left behind."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import psutil

from benchmarks.records.leases import Leases, read_lease
from benchmarks.records.store import RunStore

OLD_SECONDS = 86_400  # nothing takes so long to write


def sweep(store: RunStore) -> None:
    """Remove what nobody will go on with: leases and temporary files of processes of this host that have ended, temporary
    files a day old, and checkpoints of finished runs."""
    Leases(store.leases).sweep()
    for temporary in [*store.leases.glob(".*"), *store.folder.glob("runs/.*")]:
        if _abandoned(temporary):
            temporary.unlink(missing_ok=True)
    for path in store.leases.glob("*/"):
        if store.find(path.name) and read_lease(store.lease_path(path.name)) is None:
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(temporary: Path) -> bool:
    """Whether a file ``.<name>.<host>.<process>`` is written by nobody any more."""
    rest, _, process = temporary.name.rpartition(".")
    if rest.endswith(f".{socket.gethostname()}") and process.isdigit():
        return not psutil.pid_exists(int(process))
    try:
        return time.time() - temporary.stat().st_mtime > OLD_SECONDS
    except FileNotFoundError:  # it has its name by now
        return False

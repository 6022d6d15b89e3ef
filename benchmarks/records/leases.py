"""Leases: which process does which run. They hold on network file systems and across hosts, where locks may not."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 90.0  # longer than a network file system may go on showing what a file was
LENGTH = 1024  # bytes of a lease, always: a heartbeat is one write in place


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease.

    host: for people. machine: tells apart what process numbers belong to. started: of the process, seconds since 1970.
    token: of this lease alone. beat: heartbeats so far. doing: what it last said of its work.
    """

    host: str
    machine: str
    process: int
    started: float
    token: str
    beat: int = 0
    doing: str = ""

    @classmethod
    def of_this_process(cls) -> Holder:
        """A new holder that nobody has heard of yet."""
        started = psutil.Process().create_time()
        return cls(socket.gethostname()[:100], _machine(), os.getpid(), started, uuid.uuid4().hex[:12])

    @property
    def gone(self) -> bool:
        """Whether this is a process of this machine that has ended; of other machines nobody here can tell."""
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) > 2  # the number is another's now
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        return f"{self.host}:{self.process}"


class Leases:
    """The leases of this process in a folder, ``<name>.lease``; a thread of it renews them until they are given up.

    A lease is a file that is created exclusively. It may be taken over where its process has ended, or, of another
    machine, where it was not renewed for STALE_SECONDS of this machine's own clock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, tuple[int, Holder]] = {}  # by name: the open file, what it says
        self._seen: dict[str, tuple[Holder | None, float]] = {}  # by name: what another's said, and since when
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Take a lease. False where another process holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while (file := self._create(name)) is None:
            held = read_lease(self._path(name))
            if not self._stale(name, held):
                return False
            self._remove(name, held)
        with self._lock:
            self._held[name] = (file, Holder.of_this_process())
            self._write(name)
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew, daemon=True, name="leases")
            self._thread.start()
        return True

    def say(self, name: str, doing: str) -> None:
        """What this process does with a lease it holds, for whoever looks; the next heartbeat writes it."""
        with self._lock:
            file, holder = self._held[name]
            self._held[name] = (file, dataclasses.replace(holder, doing=doing[:100]))

    def give_up(self, name: str) -> None:
        """End a lease. One that was lost to another process meanwhile is left to it."""
        with self._lock:
            file, _ = self._held.pop(name)
            if self._still_ours(name, file):
                self._path(name).unlink(missing_ok=True)
            os.close(file)

    def close(self) -> None:
        """End all leases."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for name in list(self._held):
            self.give_up(name)

    def sweep(self) -> None:
        """Remove leases of processes of this machine that have ended."""
        for path in self.folder.glob("*.lease"):
            held = read_lease(path)
            if held is not None and held.gone:
                self._remove(path.stem, held)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.lease"

    def _create(self, name: str) -> int | None:
        try:
            return os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None

    def _stale(self, name: str, held: Holder | None) -> bool:
        if held is not None and held.gone:
            return True
        seen, since = self._seen.get(name, (None, time.monotonic()))
        if name not in self._seen or seen != held:
            since = time.monotonic()
        self._seen[name] = (held, since)
        return time.monotonic() - since > STALE_SECONDS

    def _remove(self, name: str, stale: Holder | None) -> None:
        """Remove a lease that was found stale. Renaming it first lets one process alone do so; a fresh one that took its
        place meanwhile is put back."""
        moved = self.folder / f".{name}.lease.{socket.gethostname()}.{os.getpid()}"
        try:
            self._path(name).rename(moved)
        except FileNotFoundError:
            return
        lease = read_lease(moved)
        if lease is not None and (stale is None or lease.token != stale.token):
            with contextlib.suppress(FileExistsError):
                os.link(moved, self._path(name))
        moved.unlink(missing_ok=True)
        self._seen.pop(name, None)

    def _renew(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with self._lock:
                for name in self._held:
                    with contextlib.suppress(OSError):  # the next heartbeat may do; a lease outlives many that are missed
                        self._write(name)

    def _write(self, name: str) -> None:
        """Write in place, into the file that was created: where the lease was lost, another's is not touched."""
        file, holder = self._held[name]
        holder = dataclasses.replace(holder, beat=holder.beat + 1)
        self._held[name] = (file, holder)
        text = json.dumps(dataclasses.asdict(holder))
        os.pwrite(file, text.encode().ljust(LENGTH), 0)
        os.fsync(file)

    def _still_ours(self, name: str, file: int) -> bool:
        try:
            return os.path.samestat(self._path(name).stat(), os.fstat(file))
        except FileNotFoundError:
            return False


def read_lease(path: Path) -> Holder | None:
    """Who holds a lease; None where there is none, or it is being written or cannot be read at this moment."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


@cache
def _machine() -> str:
    """What process numbers belong to: a host since it was started, or a container on it."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return socket.gethostname()
    return f"{boot.read_text().strip()} {space.readlink()}"

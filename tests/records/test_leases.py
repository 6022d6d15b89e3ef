"""A lease is had by one process at a time, and goes to another when its holder has ended or is heard of no more."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.records import leases
from benchmarks.records.leases import LENGTH, Holder, Leases, read_lease

HOLD = """
import sys
from pathlib import Path
from benchmarks.records.leases import Leases
sys.stdin.readline()
print(Leases(Path(sys.argv[1])).take("a"), flush=True)
sys.stdin.readline()
"""


def start(folder: Path) -> subprocess.Popen:
    """A process that tries to take the lease of a when it is told to, and keeps it."""
    command = [sys.executable, "-c", HOLD, folder]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the lease of a."""
    process = start(tmp_path)
    process.stdin.write("\n")
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()


def write(folder: Path, **changes: object) -> Holder:
    """A lease of another machine."""
    holder = dataclasses.replace(Holder.of_this_process(), machine="another", **changes)
    (folder / "a.lease").write_text(json.dumps(dataclasses.asdict(holder)).ljust(LENGTH))
    return holder


def test_one_process_at_a_time(tmp_path: Path, other: subprocess.Popen) -> None:
    mine = Leases(tmp_path)
    assert not mine.take("a") and mine.take("b")
    assert read_lease(tmp_path / "a.lease").process == other.pid
    mine.give_up("b")
    assert not (tmp_path / "b.lease").exists()


def test_a_killed_holder_loses_its_lease_at_once(tmp_path: Path, other: subprocess.Popen) -> None:
    other.kill()
    other.wait()
    mine = Leases(tmp_path)
    assert mine.take("a") and read_lease(tmp_path / "a.lease").process == os.getpid()
    mine.close()
    assert not list(tmp_path.iterdir())


def test_a_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    holder = dataclasses.replace(Holder.of_this_process(), started=0.0)
    (tmp_path / "a.lease").write_text(json.dumps(dataclasses.asdict(holder)))
    assert Leases(tmp_path).take("a")


def test_another_machine_s_lease_is_stale_when_it_is_not_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(leases.time, "monotonic", lambda: now)
    write(tmp_path)
    mine = Leases(tmp_path)
    assert not mine.take("a")
    now = leases.STALE_SECONDS - 1
    write(tmp_path, beat=7)  # renewed
    assert not mine.take("a")
    now = 2 * leases.STALE_SECONDS - 2
    assert not mine.take("a")
    now = 2 * leases.STALE_SECONDS
    assert mine.take("a")


def test_what_the_holder_says_is_seen_with_a_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    mine = Leases(tmp_path)
    assert mine.take("a")
    mine.say("a", "train 3/10")
    deadline = leases.time.monotonic() + 10
    while (held := read_lease(tmp_path / "a.lease")).doing != "train 3/10":
        assert leases.time.monotonic() < deadline
    assert held.beat > 1 and (tmp_path / "a.lease").stat().st_size == LENGTH
    mine.close()


def test_a_lease_that_was_lost_is_left_to_its_new_holder(tmp_path: Path) -> None:
    mine = Leases(tmp_path)
    assert mine.take("a")
    (tmp_path / "a.lease").unlink()
    write(tmp_path)
    mine.close()
    assert read_lease(tmp_path / "a.lease").machine == "another"


def test_one_of_many_takes_over(tmp_path: Path) -> None:
    """Six processes at once find the lease of one that was killed."""
    gone = dataclasses.replace(Holder.of_this_process(), started=0.0)
    (tmp_path / "a.lease").write_text(json.dumps(dataclasses.asdict(gone)))
    processes = [start(tmp_path) for _ in range(6)]
    for process in processes:
        process.stdin.write("\n")
    assert sorted(process.stdout.readline() for process in processes) == ["False\n"] * 5 + ["True\n"]
    for process in processes:
        process.kill()
        process.wait()


def test_a_heartbeat_that_cannot_be_written_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    mine, write, faults = Leases(tmp_path), os.pwrite, iter([OSError("Input/output error")])

    def fail(*arguments: object) -> int:
        for fault in faults:
            raise fault
        return write(*arguments)

    assert mine.take("a")
    monkeypatch.setattr(os, "pwrite", fail)
    mine.say("a", "train 7/9")
    deadline = time.monotonic() + 20
    while read_lease(tmp_path / "a.lease").doing != "train 7/9":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert next(faults, None) is None
    mine.close()

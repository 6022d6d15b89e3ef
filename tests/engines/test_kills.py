"""A grid of which a process is killed at any moment ends equal to one that was left alone, and leaves nothing behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from tiny_cli import predictions, run_arguments

from benchmarks.records.store import RunStore

KILLS, FEW = 20, 6  # the few are done in CI, all of them by make test-soak
SMALL = ["--tasks", "rte,stsb", "--budget", "17600"]
GRID = [*SMALL, "--methods", "lora,dora,multilora,moelora,mtl-lora,heads-only", "--seeds", "0,1", "--workers", "2"]
MOMENTS = [pytest.param(kill, marks=[pytest.mark.soak, *[pytest.mark.slow] * (kill < FEW)]) for kill in range(KILLS)]


def start(tiny: Path, results: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.cli", *run_arguments(tiny, results, *GRID)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunStore, float]:
    """The grid left alone, and the seconds from its first lease to its end."""
    store = RunStore(tmp_path_factory.mktemp("whole"))
    process = start(tiny, store.folder)
    _until_it_works(store, process)
    began = time.monotonic()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return store, time.monotonic() - began


def _until_it_works(store: RunStore, process: subprocess.Popen) -> None:
    while not list(store.folder.glob("checkpoints/*.lease")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("kill", MOMENTS)
def test_a_grid_of_which_a_process_is_killed(kill: int, whole: tuple[RunStore, float], tiny: Path, tmp_path: Path) -> None:
    (expected, seconds), store, chance = whole, RunStore(tmp_path), random.Random(kill)
    process = start(tiny, tmp_path)
    _until_it_works(store, process)
    time.sleep(chance.uniform(0, seconds))
    if process.poll() is None:
        own = psutil.Process(process.pid)
        chance.choice([own, *own.children(recursive=True)]).send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=600)
    if process.returncode != 0:
        assert process.returncode == -signal.SIGKILL, output
        again = start(tiny, tmp_path)
        output, _ = again.communicate(timeout=600)
        assert again.returncode == 0, output
    files = {path.name for path in (expected.folder / "runs").iterdir()}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == files
    assert not list((tmp_path / "checkpoints").iterdir())
    for record in expected.finished():
        found = store.find(record.id)
        assert found.scores == record.scores and found.training.loss == record.training.loss
        pd.testing.assert_frame_equal(predictions(store, record.id), predictions(expected, record.id))

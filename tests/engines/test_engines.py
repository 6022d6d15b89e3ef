"""A grid gives the same records whoever does its runs, and survives what happens to them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import psutil
import pytest
import torch
from tiny_cli import mtl_lora, predictions, run_arguments

from benchmarks.answering.base import TaskModel
from benchmarks.engines.grid import jobs_of
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore
from benchmarks.training import runner
from benchmarks.training.trainer import AdapterTrainer
from mtl_lora import InvalidInput

METHODS = ["lora", "dora", "multilora", "moelora", "mtl-lora"]
REFERENCES = "all,references"


@pytest.fixture(scope="module")
def one_by_one(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """All methods and references, each in a command of its own: nothing is kept from one to the next."""
    store = RunStore(tmp_path_factory.mktemp("one"))
    for method in [*METHODS, "heads-only", "full", "lora-per-task"]:
        assert mtl_lora(*run_arguments(tiny, store.folder, "--methods", method)) == 0
    return store


def assert_same(store: RunStore, other: RunStore, ids: set[str] | None = None) -> None:
    """The runs of both folders, or those of these ids, have the same numbers."""
    records = {record.id: record for record in store.finished()}
    assert set(records) == (ids or {record.id for record in other.finished()})
    for run_id, record in records.items():
        expected = other.find(run_id)
        assert record.training.loss == expected.training.loss and record.parameters == expected.parameters
        assert {t: s.metrics for t, s in record.scores.items()} == {t: s.metrics for t, s in expected.scores.items()}
        pd.testing.assert_frame_equal(predictions(store, run_id), predictions(other, run_id))


def start(tiny: Path, results: Path, *more: str) -> subprocess.Popen:
    """The command line in a process of its own, which heeds Ctrl-C even where these tests run in the background."""
    command = [sys.executable, "-m", "benchmarks.cli", *run_arguments(tiny, results, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed)


def _heed() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("protocol", ["matched", "tuned"])
def test_within_a_seed_what_trains_the_most_is_begun_first(protocol: str) -> None:
    tasks = "sense-north,sense-south"
    options = StudyOptions(
        "quick", methods="lora,heads-only,full,lora-per-task", tasks=tasks, seeds="3,1", protocol=protocol
    )
    (study,) = studies(options, weights=False)
    jobs = jobs_of([study])
    assert [job.run.seed for job in jobs] == [3] * 4 + [1] * 4
    assert [job.run.method.label for job in jobs[:4]] == ["full", "lora-per-task", "lora", "heads-only"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_grid_gives_what_its_runs_give_one_by_one(workers: int, one_by_one: RunStore, tiny: Path, tmp_path: Path) -> None:
    """Also after one another in one process, on one frozen backbone."""
    arguments = run_arguments(tiny, tmp_path, "--methods", REFERENCES, "--workers", str(workers))
    assert mtl_lora(*arguments) == 0
    assert_same(RunStore(tmp_path), one_by_one)
    for record in RunStore(tmp_path).finished():
        assert (record.environment.threads, record.execution.engine, record.execution.workers) == (1, "local", workers)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_what_fails_is_recorded_and_the_others_are_done(
    one_by_one: RunStore, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = run_arguments(tiny, tmp_path, "--methods", "dora,mtl-lora,moelora,multilora,lora")
    faults = {
        "dora": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "mtl-lora": InvalidInput("picture 7 is missing"),
        "moelora": OSError("Stale file handle"),
    }
    train, build = AdapterTrainer.train, runner.build_model

    def fail(self: AdapterTrainer, **kwargs: object) -> None:
        if fault := faults.get(self.model.backbone.method.name):
            raise fault
        train(self, **kwargs)

    def refuse(run: RunConfig, *arguments: object) -> TaskModel:
        if run.method.name == "multilora":
            raise InvalidInput("other weights")
        return build(run, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(AdapterTrainer, "train", fail)
        patch.setattr(runner, "build_model", refuse)
        assert mtl_lora(*arguments) == 1
    store = RunStore(tmp_path)
    assert [record.config.method.name for record in store.finished()] == ["lora"]
    failures, said = {failure.config.method.name: failure for failure in store.failed()}, capsys.readouterr().out
    assert {failure.status for failure in failures.values()} == {"failed"}
    assert "a larger --accumulation" in failures["dora"].failure.message
    assert failures["mtl-lora"].failure.message == "picture 7 is missing"
    assert failures["moelora"].failure.message == "OSError: Stale file handle"
    assert failures["multilora"].failure.message == "other weights"
    for failure in failures.values():
        assert "_engines.py" in store.traceback_path(failure.id).read_text()
        assert f"({failure.id}): failed at step 0: {failure.failure.message}" in said

    assert mtl_lora(*arguments) == 1  # not tried again unasked
    assert "5 runs, 1 finished already, 4 failed (--retry-failed does them again)" in capsys.readouterr().out
    assert mtl_lora(*arguments, "--retry-failed") == 0
    assert not store.failed() and not list(tmp_path.glob("runs/*.txt"))
    assert_same(store, one_by_one, {record.id for record in store.finished()})


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_that_diverge_are_recorded_with_their_losses(workers: int, tiny: Path, tmp_path: Path) -> None:
    more = ["--methods", "lora,heads-only,mtl-lora", "--learning-rate", "1e30", "--workers", str(workers)]
    assert mtl_lora(*run_arguments(tiny, tmp_path, *more)) == 1
    store = RunStore(tmp_path)
    assert [record.config.method.name for record in store.finished()] == ["heads-only"]
    assert {failure.config.method.name for failure in store.failed()} == {"lora", "mtl-lora"}
    for failure in store.failed():
        assert failure.status == "diverged" and failure.failure.step > 0 and failure.failure.losses[-1] is None
        assert "try a lower --learning-rate" in failure.failure.message
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(one_by_one: RunStore, tiny: Path, tmp_path: Path) -> None:
    process = start(tiny, tmp_path, "--methods", REFERENCES, "--workers", "2")
    wait_for(lambda: list(tmp_path.glob("checkpoints/*/checkpoint-*")), process)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGKILL)
    assert process.wait(timeout=200) == 0, process.communicate()
    assert_same(RunStore(tmp_path), one_by_one)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_grid_ends_at_once_and_goes_on_later(sent: int, one_by_one: RunStore, tiny: Path, tmp_path: Path) -> None:
    more = ["--methods", "lora,dora,mtl-lora", "--workers", "2"]
    process = start(tiny, tmp_path, *more)
    wait_for(lambda: list(tmp_path.glob("checkpoints/*/checkpoint-*/complete")), process)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(sent)
    assert process.wait(timeout=20) == 130
    assert process.stderr.read() == "mtl-lora: stopped; the same command goes on from here\n"
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert not list(tmp_path.glob("checkpoints/*.lease"))
    assert mtl_lora(*run_arguments(tiny, tmp_path, *more)) == 0
    assert_same(RunStore(tmp_path), one_by_one, {record.id for record in RunStore(tmp_path).finished()})


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where processes that are started keep temporary files: a short path, as sockets need."""
    with TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tiny: Path, tmp_path: Path, temporary: Path) -> None:
    process = start(tiny, tmp_path, "--methods", "lora,dora,mtl-lora", "--workers", "2")
    wait_for(lambda: list(tmp_path.glob("checkpoints/*/checkpoint-*")), process)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert not list(temporary.glob("pymp-*"))  # of multiprocessing


@pytest.mark.parametrize("workers", ["1", "2"])
def test_bad_input_ends_a_grid_in_one_line(workers: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    arguments = run_arguments(tiny, tmp_path, "--accumulation", "5", "--workers", workers)
    assert mtl_lora(*arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "a batch of 16 cannot be split over 1 devices x 5 micro-batches" in line
    assert not list(tmp_path.glob("runs/*")) and not list(tmp_path.glob("checkpoints/*"))

"""Machines that lack something: a full disk, too little memory, no home, another locale, a closed input, a silent server."""

from __future__ import annotations

import io
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_cli import mtl_lora, run_arguments
from tiny_study import study

from benchmarks.records import environment
from benchmarks.records.store import RunStore, write_whole
from benchmarks.sources import Source, location
from benchmarks.sources.location import cache_folder
from benchmarks.suites import find_suite
from benchmarks.training.memory import ADVICE, out_of_memory
from mtl_lora import InvalidInput


def arguments(tiny: Path, results: Path) -> list[str]:
    return run_arguments(tiny, results, "--methods", "lora", "--tasks", "cola", "--budget", "17600")


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    results = tmp_path_factory.mktemp("results")
    assert mtl_lora(*arguments(tiny, results)) == 0
    return RunStore(results)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows beyond 100 kB."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_said_and_the_run_goes_on_later(
    tiny: Path, tmp_path: Path, finished: RunStore, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    request.getfixturevalue("full_disk")  # the optimiser's state is larger, what was trained is not
    assert mtl_lora(*arguments(tiny, tmp_path)) == 1
    assert f"a checkpoint cannot be written to {tmp_path}" in capsys.readouterr().out.strip().splitlines()[-1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    assert mtl_lora(*arguments(tiny, tmp_path), "--retry-failed") == 0
    (record,), (whole,) = RunStore(tmp_path).finished(), finished.finished()
    assert record.scores == whole.scores


def test_what_cannot_be_written_whole_leaves_nothing(full_disk: None, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large"):
        write_whole(tmp_path / "file", lambda temporary: temporary.write_bytes(bytes(200_000)))
    assert not list(tmp_path.iterdir())


def test_temporary_files_say_whose_they_are(tmp_path: Path) -> None:
    seen: list[str] = []
    write_whole(tmp_path / "file", lambda temporary: (seen.append(temporary.name), temporary.write_text("x")))
    assert socket.gethostname() in seen[0] and [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("need", [lambda: torch.empty(1 << 60), lambda: bytearray(1 << 60)], ids=["torch", "python"])
def test_too_little_memory_is_known_on_every_device(need) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        need()
    assert out_of_memory(raised.value) and "\n" not in ADVICE and "--accumulation" in ADVICE
    assert not out_of_memory(RuntimeError("another"))


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(InvalidInput, match="this user has no home folder for caches: set HOME"):
        cache_folder()


def test_a_closed_standard_input(
    finished: RunStore, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    (record,) = finished.finished()
    assert mtl_lora("predict", record.id, "--task", "cola", "--results", finished.folder, "--mirror", tiny) == 2
    assert capsys.readouterr().err == "mtl-lora: standard input is closed: give a file of texts\n"


@pytest.mark.parametrize("content", ["caf\xe9\n".encode("latin-1"), b"\x00\xff\xfe\x80"], ids=["Latin-1", "binary"])
def test_texts_that_are_not_utf_8(
    content: bytes, finished: RunStore, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (record,) = finished.finished()
    (tmp_path / "texts").write_bytes(b"w1 good\n" + content)
    used = ["--results", finished.folder, "--mirror", tiny]
    assert mtl_lora("predict", record.id, "--task", "cola", tmp_path / "texts", *used) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "line 2 is not text in UTF-8" in line


def test_a_terminal_that_cannot_show_every_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(tmp_path, {"lora": {0: 0.5, 1: 0.5}, "dora": {0: 0.6, 1: 0.6}})
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", shown)
    assert mtl_lora("report", "--results", tmp_path) == 0
    shown.flush()
    assert b" 60.0 (+10.0 ? " in shown.buffer.getvalue()


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = find_suite("commonsense").select(["boolq"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/train.json"
        monkeypatch.setattr(Source, "origin", lambda self, task, split: address)
        monkeypatch.setattr(location, "TIMEOUT", 0.2)
        with pytest.raises(InvalidInput, match=f"cannot load data set {address}: .*timed out"):
            Source().rows(task, "train")


def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(InvalidInput, match="cannot load model tiny/encoder: "):
            Source().revision("tiny/encoder")


def git(folder: Path, *command: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *name, *command], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_that_of_the_packages_own_checkout_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lying_in(root: Path) -> None:
        module = root / "benchmarks" / "records" / "environment.py"
        module.parent.mkdir(parents=True)
        shutil.copy(environment.__file__, module)
        monkeypatch.setattr(environment, "__file__", str(module))

    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "of someone else")
    installed = tmp_path / "venv" / "site-packages"
    lying_in(installed)
    assert environment._git() is None
    git(tmp_path, "add", "-A")  # even where it is kept in that checkout
    assert environment._git() is None
    own = tmp_path / "own"
    lying_in(own)
    git(own, "init")
    git(own, "add", "-A")
    git(own, "commit", "-m", "own")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    found = environment._git()
    monkeypatch.delenv("GIT_DIR")
    assert found is not None and not found.dirty and found.revision == git(own, "rev-parse", "HEAD")

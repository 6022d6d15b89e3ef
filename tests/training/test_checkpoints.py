"""Checkpoints that were damaged after they were written: a run goes on from an older whole one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from tiny_cli import mtl_lora, predictions, run_arguments

from benchmarks.records.store import RunStore
from benchmarks.training.checkpoints import COMPLETE, MarkComplete, checkpoint_step, last_checkpoint

FILES = ("trained.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def arguments(tiny: Path, results: Path) -> list[str]:
    return run_arguments(tiny, results, "--methods", "mtl-lora", "--tasks", "rte,mrpc,stsb", "--budget", "16000")


@pytest.fixture(scope="module")
def left(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves that was stopped after its checkpoints of steps 5 and 6."""
    results, mark = tmp_path_factory.mktemp("results"), MarkComplete.on_save

    def mark_and_stop(self: MarkComplete, args, state, control, **kwargs) -> None:
        mark(self, args, state, control, **kwargs)
        if state.global_step == 6:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MarkComplete, "on_save", mark_and_stop)
        assert mtl_lora(*arguments(tiny, results)) == 130
    return results


@pytest.fixture
def stopped(left: Path, tmp_path: Path) -> RunStore:
    return RunStore(Path(shutil.copytree(left, tmp_path / "stopped")))


def checkpoints(store: RunStore) -> list[Path]:
    return sorted(store.folder.glob("checkpoints/*/checkpoint-*"), key=checkpoint_step)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_not_gone_on_from(name: str, stopped: RunStore) -> None:
    older, newer = checkpoints(stopped)[-2:]
    assert last_checkpoint(newer.parent) == newer
    content = (newer / name).read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1]), b""):
        (newer / name).write_bytes(damaged)
        assert last_checkpoint(newer.parent) == older
    (newer / name).unlink()
    assert last_checkpoint(newer.parent) == older
    (newer / name).write_bytes(content)
    assert last_checkpoint(newer.parent) == newer
    for checkpoint in (older, newer):
        (checkpoint / COMPLETE).unlink()
    assert last_checkpoint(newer.parent) is None


def test_the_run_goes_on_from_an_older_one_and_ends_equal(stopped: RunStore, tiny: Path, tmp_path: Path) -> None:
    newest = checkpoints(stopped)[-1]
    (newest / "trained.safetensors").write_bytes(b"damaged")
    assert mtl_lora(*arguments(tiny, stopped.folder)) == 0
    assert mtl_lora(*arguments(tiny, tmp_path / "whole")) == 0
    (resumed,), (whole,) = stopped.finished(), RunStore(tmp_path / "whole").finished()
    assert resumed.training.resumed_from_step == checkpoint_step(newest) - 1
    assert resumed.scores == whole.scores and resumed.training.loss == whole.training.loss
    alone = predictions(RunStore(tmp_path / "whole"), whole.id)
    pd.testing.assert_frame_equal(predictions(stopped, resumed.id), alone)

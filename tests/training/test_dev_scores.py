"""Scores on dev while a run trains: kept in its record, and nothing else is other than without them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny_cli import mtl_lora, predictions, run_arguments
from tiny_mirror import make_mirror

from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.training.checkpoints import MarkComplete

TASKS = ("--methods", "mtl-lora", "--tasks", "rte,mrpc,stsb", "--budget", "16000")


def one_run(folder: Path) -> tuple[RunRecord, pd.DataFrame]:
    store = RunStore(folder)
    (record,) = store.finished()
    return record, predictions(store, record.id)


@pytest.mark.slow
def test_scores_on_dev_change_nothing_and_are_those_of_a_run_scored_on_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, mark = make_mirror(tmp_path / "mirror"), MarkComplete.on_save
    folders = {name: tmp_path / name for name in ("without", "with", "dev")}
    assert mtl_lora(*run_arguments(tiny, folders["without"], *TASKS)) == 0
    assert mtl_lora(*run_arguments(tiny, folders["dev"], *TASKS, "--split", "dev")) == 0

    def mark_and_stop(self: MarkComplete, args, state, control, **kwargs) -> None:
        mark(self, args, state, control, **kwargs)
        if state.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MarkComplete, "on_save", mark_and_stop)
        assert mtl_lora(*run_arguments(tiny, folders["with"], *TASKS, "--dev-scores")) == 130
    assert mtl_lora(*run_arguments(tiny, folders["with"], *TASKS, "--dev-scores")) == 0

    (plain, said), (followed, also_said) = one_run(folders["without"]), one_run(folders["with"])
    assert followed.training.resumed_from_step == 6 and followed.id == plain.id
    assert followed.training.loss == plain.training.loss and plain.training.dev_scores is None
    pd.testing.assert_frame_equal(said, also_said)

    curve, on_dev = followed.training.dev_scores, one_run(folders["dev"])[0]
    assert curve is not None and curve.steps == followed.training.loss_steps
    assert curve.steps[-1] == followed.training.steps
    assert {task: scores[-1] for task, scores in curve.scores.items()} == {t: s.score for t, s in on_dev.scores.items()}

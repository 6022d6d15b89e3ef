import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_mirror import CAUSAL, ENCODER, make_mirror

from benchmarks.experiment.presets import PRESETS
from benchmarks.sources import Source
from benchmarks.speed import frozen_base


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, model in (("small", ENCODER), ("smollm2", CAUSAL)):
        backbone = replace(PRESETS[name].backbone, id=model, revision=None)
        monkeypatch.setitem(frozen_base.PRESETS, name, replace(PRESETS[name], backbone=backbone))
        monkeypatch.setitem(frozen_base.SHAPES, name, (2, 12))
    return make_mirror(tmp_path / "mirror")


@pytest.mark.parametrize("preset", ["small", "smollm2"])
def test_every_way_holds_the_base_it_names_and_computes_the_same(mirror: Path, preset: str) -> None:
    found = {one.name: one for one in frozen_base.contestants(preset, Source(mirror))}
    expected = found["float32"].loss().item()
    assert all(one.loss().item() == pytest.approx(expected, rel=0.02) for one in found.values())
    assert all(p.dtype == torch.float32 for one in found.values() for p in one.trained)
    frozen = {name: {p.dtype for p in one.model.parameters() if not p.requires_grad} for name, one in found.items()}
    both = {torch.float32, torch.bfloat16}
    assert list(frozen.values()) == [{torch.float32}, {torch.float32}, both, both][: len(found)]
    assert (frozen_base.INNER in found) == (preset == "smollm2")


def test_the_record_has_every_way_of_every_preset(mirror: Path, tmp_path: Path) -> None:
    frozen_base.main(mirror, rounds=1, out=tmp_path)
    record = json.loads((tmp_path / "frozen-base-cpu.json").read_text())
    for preset, rows in record["results"].items():
        assert [row["base"] for row in rows] == list(frozen_base.WAYS[: 4 if preset == "smollm2" else 3])
        assert all(row["step_seconds"] > 0 and row["forward_seconds"] > 0 for row in rows)
        assert rows[1]["step_ratio"] == rows[1]["forward_ratio"] == 1

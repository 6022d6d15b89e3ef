"""What every test runs in, and fixtures for all rooms."""

from __future__ import annotations

import os
from pathlib import Path

# The models are tiny: threads cost more than they save. Before any library is loaded, and for processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MTL_LORA_WORKERS"] = "1"  # starting one takes longer than most tests

import pytest
from tiny_mirror import make_mirror
from tiny_models import ALL_METHODS, method_id

from benchmarks.scoring import evaluate
from mtl_lora import Method


@pytest.fixture(params=ALL_METHODS, ids=method_id)
def method(request: pytest.FixtureRequest) -> Method:
    """Every method, one after another."""
    return request.param


@pytest.fixture(params=[method for method in ALL_METHODS if not method.routes_by_token], ids=method_id)
def folding(request: pytest.FixtureRequest) -> Method:
    """Every method whose tasks fold to a plain LoRA."""
    return request.param


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny mirror; what changes something in it copies it first."""
    return make_mirror(tmp_path_factory.mktemp("mirror"))


RESAMPLES = evaluate.BOOTSTRAP_RESAMPLES


@pytest.fixture(scope="session", autouse=True)
def few_resamples() -> None:
    """Standard errors of scores from few resamples: they are most of the time of a tiny run."""
    evaluate.BOOTSTRAP_RESAMPLES = 10


@pytest.fixture
def resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as runs take."""
    monkeypatch.setattr(evaluate, "BOOTSTRAP_RESAMPLES", RESAMPLES)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real data and weights. Tests that need it skip without it, unless MTL_LORA_REQUIRE_MIRROR is set."""
    path = Path(os.environ.get("MTL_LORA_MIRROR", Path(__file__).parents[2] / "shared" / "mirror"))
    if not path.is_dir():
        reason = "no mirror of real data and weights (set MTL_LORA_MIRROR)"
        if os.environ.get("MTL_LORA_REQUIRE_MIRROR"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path

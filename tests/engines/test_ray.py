"""A grid on a Ray cluster gives what its runs give one by one, whatever happens to processes and nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from tiny_cli import mtl_lora, predictions, run_arguments
from tiny_mirror import NO_DROPOUT

from benchmarks.records.store import RunStore

ray_cluster = pytest.importorskip("ray.cluster_utils")
pytestmark = pytest.mark.slow
SMALL = ["--tasks", "rte,stsb", "--budget", "17600"]
GRID = [*SMALL, "--methods", "lora,dora,mtl-lora,full", "--engine", "ray", "--address"]
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture(scope="module")
def one_by_one(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("one"))
    assert mtl_lora(*run_arguments(tiny, store.folder, *GRID[:-3])) == 0
    return store


@pytest.fixture
def cluster() -> Iterator[ray_cluster.Cluster]:
    """A head without cores, and two nodes of one core."""
    cluster = ray_cluster.Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    yield cluster
    cluster.shutdown()


def assert_same(store: RunStore, other: RunStore) -> None:
    assert {record.id for record in store.finished()} == {record.id for record in other.finished()}
    for expected in other.finished():
        record = store.find(expected.id)
        assert record.training.loss == expected.training.loss
        assert {t: s.metrics for t, s in record.scores.items()} == {t: s.metrics for t, s in expected.scores.items()}
        pd.testing.assert_frame_equal(predictions(store, record.id), predictions(other, record.id))
    assert not list((store.folder / "checkpoints").iterdir())


def test_two_nodes_give_what_one_process_gives(
    cluster: ray_cluster.Cluster, one_by_one: RunStore, tiny: Path, tmp_path: Path
) -> None:
    cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    assert mtl_lora(*run_arguments(tiny, tmp_path, *GRID, cluster.address)) == 0
    assert_same(RunStore(tmp_path), one_by_one)


def test_a_killed_process_and_a_node_that_goes_away(
    cluster: ray_cluster.Cluster, one_by_one: RunStore, tiny: Path, tmp_path: Path
) -> None:
    leaving, _ = cluster.add_node(**NODE), cluster.add_node(**NODE)
    events = []

    def disturb() -> None:
        while not (working := [p for p in psutil.process_iter(["name"]) if p.info["name"].startswith("ray::do")]):
            time.sleep(0.05)
        working[0].kill()
        events.append("process")
        while not list(tmp_path.glob("runs/*.json")):
            time.sleep(0.05)
        cluster.remove_node(leaving)
        events.append("node")

    disturber = threading.Thread(target=disturb, daemon=True)
    disturber.start()
    assert mtl_lora(*run_arguments(tiny, tmp_path, *GRID, cluster.address)) == 0
    disturber.join(timeout=60)
    assert events == ["process", "node"]
    assert_same(RunStore(tmp_path), one_by_one)


def test_two_processes_do_a_run_together(cluster: ray_cluster.Cluster, tiny: Path, tmp_path: Path) -> None:
    """On a node each, in one placement group: the batches of a run without dropout are the same, halved."""
    cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    alone, together = RunStore(tmp_path / "alone"), RunStore(tmp_path / "together")
    still = [*SMALL, "--methods", "mtl-lora", "--backbone", NO_DROPOUT]
    assert mtl_lora(*run_arguments(tiny, alone.folder, *still)) == 0
    asked = [*still, "--engine", "ray", "--address", cluster.address, "--devices", "2"]
    assert mtl_lora(*run_arguments(tiny, together.folder, *asked)) == 0
    (one,), (two,) = alone.finished(), together.finished()
    assert (two.execution.devices, two.execution.engine, two.id) == (2, "ray", one.id)
    assert two.training.loss == pytest.approx(one.training.loss, rel=1e-4)
    pd.testing.assert_frame_equal(predictions(alone, one.id), predictions(together, two.id), check_exact=False, rtol=1e-3)


def test_no_cluster_is_one_line(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert mtl_lora(*run_arguments(tiny, tmp_path, *GRID, "127.0.0.1:1")) == 2
    assert "no Ray cluster at '127.0.0.1:1'" in capfd.readouterr().err.strip().splitlines()[-1]

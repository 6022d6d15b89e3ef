"""What is said of finished runs, against the same numbers come by another way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import silhouette_score
from tiny_cli import mtl_lora
from tiny_mirror import CAUSAL, ENCODER, make_mirror
from tiny_models import LLAMA_TARGETS, TASKS, adapted_llama, tiny_llama
from tiny_pictures import VISION, make_pictures

from baselines.lora import LoRA
from baselines.references import LoRAPerTask
from benchmarks.analysis.geometry import of_mtl_lora, plane, separation, update_overlap, wide
from benchmarks.analysis.inference import FinishedRun
from benchmarks.analysis.passes import mean_inputs
from benchmarks.answering.registry import read_answer_mode
from benchmarks.data.splits import load_task
from benchmarks.records.schema import to_json
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode
from mtl_lora import AdaptedModel, Method, MTLLoRA
from mtl_lora.method import Factors

QUICK = ["sense-north", "sense-south", "caption-north"]
CUT = ["--epochs", "1", "--batch-size", "16", "--max-eval", "12", "--precision", "float32"]
TINY = [*CUT, "--max-train", "12", "--methods", "mtl-lora"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """LoRA, MTL-LoRA and heads alone, diagnosed; 40 rows per task are more than are read at once."""
    results = tmp_path_factory.mktemp("quick")
    run = ["run", "quick", "--tasks", ",".join(QUICK), "--conflict", "1", "--budget", "45k", "--max-train", "40", *CUT]
    assert mtl_lora(*run, "--methods", "lora,mtl-lora,heads-only", "--results", results) == 0
    assert mtl_lora("diagnose", "--results", results) == 0
    return RunStore(results)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


def run_of(store: RunStore, method: str) -> str:
    return next(r.id for r in store.finished() if r.config.method.name == method)


def diagnosis(store: RunStore, method: str = "mtl-lora") -> dict[str, Any]:
    return json.loads(store.diagnosis_path(run_of(store, method)).read_text())


def overlap(model: AdaptedModel) -> torch.Tensor:
    return update_overlap([wide(layer.factors()) for _, layer in model.layers()], len(model.tasks))


def explicit(updates: list[torch.Tensor]) -> torch.Tensor:
    """Cosines of updates that were formed, one vector a task."""
    unit = F.normalize(torch.stack(updates), dim=1)
    return unit @ unit.T


@torch.no_grad()
def test_overlap_is_the_cosine_of_what_merging_adds(folding: Method) -> None:
    model = adapted_llama(folding).double()
    updates = []
    for task in range(len(TASKS)):
        parts = []
        for _, layer in model.layers():
            scale = folding.output_scale(layer._params(), layer.weight)
            merged = layer.merged_weight(task) if scale is None else layer.merged_weight(task) / scale[:, None]
            parts.append((merged - layer.weight).flatten())
        updates.append(torch.cat(parts))
    torch.testing.assert_close(overlap(model), explicit(updates), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_overlap_of_one_lora_is_one_and_of_separate_ones_that_of_their_products() -> None:
    torch.testing.assert_close(overlap(adapted_llama(LoRA(rank=4))), torch.ones(3, 3, dtype=torch.float64))
    apart = adapted_llama(LoRAPerTask(rank=4)).double()
    layers = [layer.adapter for _, layer in apart.layers()]
    own = [slice(4 * t, 4 * t + 4) for t in range(3)]
    products = [torch.cat([(a["B"][:, rows] @ a["A"][rows]).flatten() for a in layers]) for rows in own]
    torch.testing.assert_close(overlap(apart), explicit(products))
    assert overlap(adapted_llama(LoRA(rank=4), randomise=False)).isnan().all()  # no update yet


@torch.no_grad()
def test_transforms_are_told_by_how_far_they_moved() -> None:
    untrained, model = (AdaptedModel(tiny_llama(), MTLLoRA(rank=4), TASKS, LLAMA_TARGETS) for _ in range(2))
    layers, at_start = dict(model.layers()), SimpleNamespace(backbone=untrained)
    start = of_mtl_lora(layers, at_start)
    assert start["mixing"].shape == (3, len(layers), 3) and start["lambda"]["distance"].eq(0).all()
    assert start["mixing_moved"].shape == (3, len(layers)) and start["mixing_moved"].eq(0).all()
    torch.testing.assert_close(start["mixing"].sum(2), torch.ones(3, len(layers)))
    first, *_, moved = list(layers)[:4]
    layers[first].adapter["Lambda"].add_(5.0)  # far, but the tasks alike
    layers[moved].adapter["Lambda"][1, 0, 2] = 3.0
    layers[moved].adapter["w"][2] = torch.tensor([0.0, 9.0, 0.0])
    found = of_mtl_lora(layers, at_start)
    assert found["lambda"]["layer"] == moved and found["lambda"]["distance"][1, 3] == 3.0 / 4**0.5
    assert found["lambda"]["distance"][:, 0].tolist() == [10.0] * 3
    assert torch.equal(found["lambda"]["matrices"], layers[moved].adapter["Lambda"])
    torch.testing.assert_close(found["mixing"][2, 3], torch.tensor([0.0, 1.0, 0.0]))
    assert found["mixing_moved"][2, 3].item() == pytest.approx(1 - start["mixing"][2, 3, 1].item(), abs=1e-6)


def test_points_are_the_principal_components() -> None:
    vectors = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)).double() * torch.arange(1, 7)
    points, explained = plane(vectors)
    variances, axes = np.linalg.eigh(np.cov(vectors.numpy(), rowvar=False))  # in rising order
    axes = axes[:, [-1, -2]]
    axes *= np.sign(axes[np.abs(axes).argmax(0), [0, 1]])  # the largest loading is positive
    np.testing.assert_allclose(points, (vectors - vectors.mean(0)).numpy() @ axes, atol=1e-9)
    np.testing.assert_allclose(explained, variances[[-1, -2]] / variances.sum())
    assert torch.equal(plane(vectors)[0], points)
    mirrored = plane(-vectors)[0]
    torch.testing.assert_close(mirrored, -points)  # the axes stay, whatever the points
    alone, share = plane(vectors[:, :1])
    assert alone.shape == (30, 2) and alone[:, 1].eq(0).all() and share.tolist() == [1.0, 0.0]


def test_separation_is_before_and_after_a_tasks_own_core() -> None:
    generator = torch.Generator().manual_seed(0)
    down, core, up = (torch.randn(*s, generator=generator).double() for s in ((4, 7), (3, 5, 4), (6, 5)))
    inputs = {task: torch.randn(50, 7, generator=generator).double() for task in TASKS}
    found = separation(Factors(down, core, up), inputs)
    after = torch.cat([torch.einsum("oi,id,bd->bo", core[t], down, inputs[task]) for t, task in enumerate(TASKS)])
    assert found["after"]["silhouette"] == pytest.approx(silhouette_score(after.numpy(), np.arange(3).repeat(50)))
    torch.testing.assert_close(found["after"]["points"]["b"], plane(after)[0][50:90])
    before = torch.cat([x @ down.T for x in inputs.values()])
    torch.testing.assert_close(found["before"]["explained"], plane(before)[1])
    assert separation(Factors(down, core[:1], up), {"a": inputs["a"]})["after"]["silhouette"] is None


def test_the_diagnosis_of_a_run_is_whole(finished: RunStore) -> None:
    common = ["schema", "id", "rows", "tasks", "layers", "gradient_cosine", "update_overlap"]
    last = ["separation", "inference", "environment"]
    lora, mtl = diagnosis(finished, "lora"), diagnosis(finished)
    assert list(lora) == [*common, *last] and list(mtl) == [*common, "mixing", "mixing_moved", "lambda", *last]
    assert mtl["tasks"] == QUICK and mtl["rows"] == 40 and np.shape(mtl["mixing"]) == (3, len(mtl["layers"]), 3)
    assert lora["update_overlap"] == [[1.0] * 3] * 3 and np.diag(mtl["gradient_cosine"]).tolist() == [1.0] * 3
    for stage in ("before", "after"):
        sizes = {task: np.shape(own) for task, own in mtl["separation"][stage]["points"].items()}
        assert sizes == dict.fromkeys(QUICK, (40, 2))
    assert mtl["separation"]["layer"] == mtl["layers"][len(mtl["layers"]) // 2]
    assert lora["separation"]["before"] == lora["separation"]["after"] != mtl["separation"]["before"]
    times = mtl["inference"]
    assert times["rows"] == 12 and times["repeats"] >= 7 and min(times.values()) > 0
    assert mtl["environment"]["command"].startswith("mtl-lora diagnose")


def test_gradients_are_those_of_one_whole_batch(finished: RunStore) -> None:
    opened = FinishedRun.open(finished, run_of(finished, "mtl-lora"), Source())
    suite = find_suite("quick").with_conflict(1.0)
    data = [load_task(task, Source(), "test", 40, 12) for task in suite.select(["sense-north", "sense-south"])]
    train, _ = encode(data, opened.tokenizer, read_answer_mode(opened.run.answering), opened.run.backbone.max_length)
    vectors = []
    for task in range(2):
        opened.model.zero_grad()
        rows = list(train.select(range(40 * task, 40 * task + 40)))
        opened.model(**Collator(read_answer_mode(opened.run.answering), opened.tokenizer)(rows))["loss"].backward()
        grads = [p.grad.flatten() for p in opened.model.backbone.adapter_parameters().values()]
        vectors.append(torch.cat(grads))
    expected = torch.cosine_similarity(*vectors, dim=0).item()
    assert diagnosis(finished)["gradient_cosine"][0][1] == pytest.approx(expected, abs=1e-5)


ANSWER_MODES = {
    "heads": ["nlu", "--tasks", "mrpc,sst2", "--backbone", ENCODER, "--targets", "query,value,dense", "--budget", "10k"],
    "pairs": ["commonsense", "--tasks", "boolq,piqa", "--backbone", ENCODER, "--targets", "query,value", "--budget", "5k"],
    "likelihood": ["commonsense", "--tasks", "boolq,piqa"],
    "generation": ["commonsense", "--tasks", "boolq,piqa"],
    "vision-language": ["image-text", "--tasks", "daquar,nlvr"],
}
CAUSAL_MODEL = ["--backbone", CAUSAL, "--targets", "q_proj,v_proj", "--pooling", "last", "--budget", "5k"]
SETTINGS = {"generation": ":new_tokens=6", "vision-language": f":vision={VISION}:grid=2:new_tokens=6:end=3"}


@pytest.fixture(scope="module")
def answered(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunStore]:
    """A finished and diagnosed run that answers in the mode of this name."""

    @cache
    def run(mode: str) -> RunStore:
        results = tmp_path_factory.mktemp("results")
        where = ["--mirror", tiny, "--features", tiny / "features", "--results", results]
        model = [] if mode in ("heads", "pairs") else CAUSAL_MODEL
        assert mtl_lora("run", *ANSWER_MODES[mode], *model, *TINY, "--answer", mode + SETTINGS.get(mode, ""), *where) == 0
        assert mtl_lora("diagnose", *where) == 0
        return RunStore(results)

    return run


@pytest.mark.parametrize("mode", ANSWER_MODES)
def test_every_answer_mode_can_be_diagnosed(mode: str, answered: Callable[[str], RunStore]) -> None:
    found = diagnosis(answered(mode))
    numbers = [found[name] for name in ("gradient_cosine", "update_overlap", "mixing")]
    assert all(np.isfinite(np.array(own, dtype=float)).all() for own in numbers)
    assert found["rows"] == 12 and found["inference"]["unmerged_ratio"] > 0
    assert len(found["separation"]["after"]["points"][found["tasks"][1]]) == 12


@pytest.mark.parametrize("mode", ["heads", "pairs"])
def test_inputs_are_means_over_the_tokens_of_a_row(mode: str, tiny: Path, answered: Callable[[str], RunStore]) -> None:
    """Against each text of a row read alone, without padding."""
    opened = FinishedRun.open(answered(mode), run_of(answered(mode), "mtl-lora"), Source(tiny))
    data = [load_task(task, Source(tiny), "test", 12, 12) for task in opened.model.tasks]
    train, _ = encode(data, opened.tokenizer, read_answer_mode(opened.run.answering), opened.run.backbone.max_length)
    rows, read, backbone = list(train.select(range(12))), [], opened.model.backbone
    assert len({row["length"] for row in rows}) > 1
    layer = dict(backbone.layers())["encoder.layer.1.attention.self.query"]
    found = mean_inputs(opened.model, layer, rows, Collator(read_answer_mode(opened.run.answering), opened.tokenizer))
    layer.register_forward_pre_hook(lambda _, args: read.append(args[0][0].detach()))
    for row, mean in zip(rows, found, strict=True):
        types = {"token_type_ids": torch.tensor([row["token_type_ids"]])} if "token_type_ids" in row else {}
        for ids in [row["input_ids"]] if mode == "heads" else row["input_ids"]:
            backbone(input_ids=torch.tensor([ids]), task_ids=[0], **types)
        torch.testing.assert_close(mean, torch.cat(read).mean(0).double(), rtol=1e-4, atol=1e-5)
        read.clear()


def test_what_is_diagnosed_is_not_diagnosed_again(finished: RunStore, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.read_bytes() for path in (finished.folder / "diagnoses").iterdir()}
    assert {path.stem for path in before} == {run_of(finished, name) for name in ("lora", "mtl-lora")}
    assert mtl_lora("diagnose", "--results", finished.folder) == 0
    assert mtl_lora("diagnose", run_of(finished, "lora"), "--results", finished.folder) == 0
    shown = capsys.readouterr().out.strip().splitlines()
    assert [line.partition(";")[0] for line in shown] == ["2 runs, 2 diagnosed already", "1 run, 1 diagnosed already"]
    assert before == {path: path.read_bytes() for path in (finished.folder / "diagnoses").iterdir()}


def test_what_cannot_be_looked_into_is_skipped_with_a_line(
    finished: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A record cut in half, a method and a suite that are unknown here, one that routes by token; named, each is refused."""
    store = RunStore(Path(shutil.copytree(finished.folder, tmp_path / "results")))
    lora = store.find(run_of(store, "lora"))
    others = [{"method": replace(lora.config.method, name=name, label=name)} for name in ("newlora", "hydralora")]
    configs = [replace(lora.config, **change) for change in [*others, {"suite": "theirs"}]]
    for config in configs:
        store.record_path(config.id).write_text(to_json(replace(lora, id=config.id, config=config)))
        store.trained_path(config.id).touch()
    store.record_path("cut").write_text(to_json(lora)[:900])
    assert mtl_lora("diagnose", "--results", store.folder) == 0
    shown = capsys.readouterr()
    whys = [
        "of newlora, a method that is unknown here",
        "of hydralora, which routes by token, so no task of it is one update",
        "of theirs, a suite that is unknown here",
    ]
    skipped = {f"skipped: 1 run {why}" for why in [*whys, "of heads-only, which trains no adapter"]}
    cut, *told = shown.err.splitlines()
    assert shown.out.startswith("2 runs, 2 diagnosed already") and set(told) == skipped
    assert cut.startswith(f"left out: {store.record_path('cut')} is not a whole run record")
    for config, why in zip(configs, whys, strict=True):
        assert mtl_lora("diagnose", config.id, "--results", store.folder) == 2
        assert f"run {config.id} is {why}; diagnosed are runs of lora" in capsys.readouterr().err


BAD = {
    "unknown": (["0123"], "no run '0123' in"),
    "reference": (["heads-only"], "is of heads-only, which trains no adapter; diagnosed are runs of lora, dora, multilora"),
    "tensors": (["lora"], ".safetensors is missing: only trained tensors can be looked into"),
    "nothing": ([], "holds no run of an adapter with its trained tensors beside it"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(
    case: str, finished: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    wrong, message = BAD[case]
    shutil.copytree(finished.folder / "runs", tmp_path / "runs", ignore=shutil.ignore_patterns("*.safetensors"))
    known = {record.config.method.name: record.id for record in finished.finished()}
    assert mtl_lora("diagnose", *(known.get(name, name) for name in wrong), "--results", tmp_path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line and not (tmp_path / "diagnoses").exists()


def test_other_rows_than_those_of_the_record_are_refused(
    tiny: Path, answered: Callable[[str], RunStore], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(answered("pairs").folder / "runs", tmp_path / "runs")
    shutil.copytree(tiny, tmp_path / "mirror")
    for path in (tmp_path / "mirror").rglob("*/piqa/train.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    assert mtl_lora("diagnose", "--results", tmp_path, "--mirror", tmp_path / "mirror") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "the rows of task piqa are not those of run" in line and not (tmp_path / "diagnoses").exists()

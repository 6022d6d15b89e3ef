"""The suite on pictures, from the command line to records and report, on pictures made on the spot."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from PIL import Image
from tiny_cli import mtl_lora, predictions
from tiny_mirror import CAUSAL, make_mirror
from tiny_pictures import CLIP, OTHER_VISION, SEQ2SEQ, VISION, make_hub, make_pictures

import benchmarks.training.image_features
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.data.images import decode
from benchmarks.data.splits import _one_a_picture, _one_an_answer, load_task
from benchmarks.experiment.resolve import pin_vision
from benchmarks.records.recipe import Backbone
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.image_features import Features, VisionTower

TASKS = find_suite("image-text").tasks
MODEL = ["--backbone", CAUSAL, "--targets", "q_proj,v_proj", "--precision", "float32"]
FAST = ["--epochs", "1", "--batch-size", "16", "--learning-rate", "0.01", "--budget", "5600"]
ANSWER = f"vision-language:vision={VISION}:grid=2:new_tokens=6:end=3"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(make_mirror(tmp_path_factory.mktemp("mirror")))


@pytest.fixture(scope="module")
def hub(tiny: Path) -> Path:
    return make_hub(tiny)


def arguments(tiny: Path, results: Path, *more: str, answer: str = ANSWER) -> list[str]:
    where = ["--mirror", str(tiny), "--features", str(tiny / "features"), "--results", str(results)]
    return ["run", "image-text", *where, *MODEL, *FAST, "--answer", answer, *more]


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """All methods and references but one, finished, and LoRA with others' pictures."""
    results = tmp_path_factory.mktemp("results")
    assert mtl_lora(*arguments(tiny, results, "--methods", "all,heads-only,lora-per-task")) == 0
    for pictures in ("shuffled", "shuffled-when-scored"):
        answer = f"{ANSWER}:pictures={pictures}"
        assert mtl_lora(*arguments(tiny, results, "--methods", "lora", answer=answer)) == 0
    return RunStore(results)


def test_every_method_answers_every_task_in_words(tiny: Path, finished: RunStore) -> None:
    records = finished.finished()
    assert len(records) == 9
    for record in records:
        assert list(record.scores) == sorted(task.name for task in TASKS)
        table = predictions(finished, record.id)
        assert set(table.columns) == {"task", "row", "label", "prediction", "text"}
        for task in TASKS:
            own, scores = table[table["task"] == task.name], record.scores[task.name]
            assert len(own) == scores.rows
            assert set(task.metrics) | set(task.more_metrics) == set(scores.metrics)
            if task.written:
                assert own["label"].isna().all()
                assert own["prediction"].mean() == pytest.approx(scores.score, abs=1e-6)
            else:
                assert scores.score == pytest.approx((own["prediction"] == own["label"]).mean())
                assert scores.unanswered == own["prediction"].isna().sum()
    captions = pd.read_parquet(tiny / "datasets" / TASKS[4].dataset / "annotations" / "test.parquet")
    assert records[0].scores["flickr8k"].rows == captions["image_id"].nunique()


@pytest.mark.slow
def test_pictures_can_be_told_from_the_answers(tiny: Path, tmp_path: Path) -> None:
    """The answer is the picture's colour: to be learnt from one's own pictures alone."""
    common = ["--methods", "mtl-lora", "--tasks", "easy_vqa", "--epochs", "35"]
    assert mtl_lora(*arguments(tiny, tmp_path / "own", *common)) == 0
    assert mtl_lora(*arguments(tiny, tmp_path / "other", *common, answer=f"{ANSWER}:pictures=shuffled-when-scored")) == 0
    (own,), (other,) = RunStore(tmp_path / "own").finished(), RunStore(tmp_path / "other").finished()
    assert own.training.loss == other.training.loss  # the same model
    assert own.score > 0.9 > other.score + 0.1
    assert mtl_lora(*arguments(tiny, tmp_path / "no", *common, answer=f"{ANSWER}:pictures=shuffled")) == 0
    (no,) = RunStore(tmp_path / "no").finished()
    assert no.score < 0.8  # nor can it be learnt from others' pictures


@pytest.mark.slow
def test_the_papers_preset_on_an_encoder_decoder_and_clip(tiny: Path, tmp_path: Path) -> None:
    where = ["--mirror", tiny, "--features", tmp_path / "features", "--results", tmp_path, "--preset", "paper"]
    model = ["--backbone", SEQ2SEQ, "--answer", f"vision-language:vision={CLIP}:grid=2", "--max-length", "30"]
    small = ["--epochs", "1", "--batch-size", "16", "--budget", "14.6k", "--methods", "all", "--tasks", "daquar,flickr8k"]
    assert mtl_lora("run", "image-text", *where, *model, *small) == 0
    records = RunStore(tmp_path).finished()
    assert len(records) == 5
    for record in records:
        assert record.config.answering["vision_width"] == 24
        assert record.config.answering["trained"] == "projection-biases-norms"
        assert record.config.recipe.scaling == 0.25 and record.config.recipe.weight_decay == 0.01
        assert any(name.endswith("layer_norm.weight") for name in record.parameters.tensors)
        assert np.isfinite(record.score) and np.isfinite(record.training.loss).all()


@pytest.mark.parametrize("split", ["test", "dev"])
def test_the_hubs_sets_are_read_without_a_leak(hub: Path, split: str) -> None:
    for task in find_suite("image-text-hub").tasks:
        data = load_task(task, Source(hub), split, None, None)
        trained, scored = ({content for row in part["pictures"] for content in row} for part in (data.train, data.test))
        assert trained and scored and not trained & scored, task.name
        assert {len(row) for row in data.train["pictures"]} == {len(task.pictures.columns)}
        assert all(decode(picture.content(), "").mode == "RGB" for picture in data.pictures.values())


def test_the_hubs_sets_run_on_the_papers_preset(hub: Path, tmp_path: Path) -> None:
    where = ["--mirror", hub, "--features", tmp_path / "features", "--results", tmp_path]
    model = ["--backbone", SEQ2SEQ, "--answer", f"vision-language:vision={CLIP}:grid=2", "--max-length", "30"]
    small = ["--epochs", "6", "--batch-size", "16", "--budget", "7k", "--methods", "mtl-lora", "--learning-rate", "0.01"]
    assert mtl_lora("run", "image-text-hub", *where, *model, *small) == 0
    (record,) = RunStore(tmp_path).finished()
    assert {name: list(scores.metrics) for name, scores in record.scores.items()} == {
        "coco": ["bleu", "cider"],
        "gqa": ["exact_match"],
        "nlvr2": ["accuracy"],
        "vqav2": ["vqa_accuracy"],
    }
    assert record.scores["vqav2"].majority == pytest.approx(4 / 9)  # "good", as two of three people said
    assert record.scores["gqa"].majority == 1.0
    assert record.scores["coco"].rows == 20 and record.scores["coco"].train_rows == 40 - 4
    assert record.training.loss[-1] < record.training.loss[0]


def test_features_are_the_vision_models_own_and_computed_once(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    source = Source(tiny, tmp_path)
    mode = pin_vision(VisionLanguage(vision=VISION, grid=2), source, Backbone(CAUSAL, None, "last", 32, ("q_proj",)))
    data = load_task(TASKS[1], source, "test", 10, 5)
    features = Features(mode, source)
    features.compute(data.pictures)
    content, picture = next(iter(data.pictures.items()))
    model = source.model(VISION, None, torch.float32)
    pixels = source.image_processor(VISION, None)(decode(picture.content(), ""), return_tensors="pt")["pixel_values"]
    parts = model(pixel_values=pixels).last_hidden_state[0, 1:].detach().numpy().reshape(4, 4, 16)
    top_right = parts[:2, 2:].mean((0, 1))
    assert features[content].shape == (4, 16)
    np.testing.assert_allclose(features[content][1], top_right, atol=2e-3)
    monkeypatch.setattr(benchmarks.training.image_features, "VisionTower", None)  # a second tower would fail
    Features(mode, source).compute(data.pictures)
    files = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert files == sorted(f"{content}.npy" for content in data.pictures)


def test_who_needs_the_same_features_at_the_same_time_shares_the_work(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    source, computed = Source(tiny, tmp_path), []
    mode = pin_vision(VisionLanguage(vision=VISION, grid=2), source, Backbone(CAUSAL, None, "last", 32, ("q_proj",)))
    pictures = load_task(TASKS[1], source, "test", 10, 5).pictures

    class Slow(VisionTower):
        def __call__(self, image: Image.Image) -> np.ndarray:
            computed.append(threading.get_ident())
            time.sleep(0.05)
            return super().__call__(image)

    Features(mode, source).compute(dict([pictures.popitem()]))
    monkeypatch.setattr(benchmarks.training.image_features, "VisionTower", Slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda features: features.compute(pictures), [Features(mode, source), Features(mode, source)]))
    assert len(computed) == len(pictures) and len(set(computed)) == 2
    assert not list(tmp_path.rglob("*.lease"))


def test_features_of_a_picture_do_not_depend_on_others(tiny: Path) -> None:
    source = Source(tiny)
    mode = pin_vision(VisionLanguage(vision=VISION, grid=2), source, Backbone(CAUSAL, None, "last", 32, ("q_proj",)))
    pictures = list(load_task(TASKS[0], source, "test", 10, 5).pictures.values())
    tower = VisionTower(mode, source)
    first = tower(decode(pictures[0].content(), ""))
    for picture in pictures:
        tower(decode(picture.content(), ""))
    assert np.array_equal(tower(decode(pictures[0].content(), "")), first)


@pytest.mark.parametrize("split", ["test", "dev"])
def test_no_picture_that_is_scored_is_trained_on(tiny: Path, split: str) -> None:
    for task in TASKS:
        data = load_task(task, Source(tiny), split, None, None)
        # Contents may be alike here, as there are three colours; the keys in the files are not.
        frame = pd.read_parquet(tiny / "datasets" / task.dataset / "annotations" / "train.parquet")
        trained = set(frame["image_id"].iloc[data.train["row"]])
        scored = frame if split == "dev" else pd.read_parquet(tiny / "datasets" / task.dataset / "annotations/test.parquet")
        assert trained and not trained & set(scored["image_id"].iloc[data.test["row"]])


def test_captions_of_a_picture_are_one_scored_row(tiny: Path) -> None:
    data = load_task(TASKS[4], Source(tiny), "test", None, None)
    frame = pd.read_parquet(tiny / "datasets" / TASKS[4].dataset / "annotations" / "test.parquet")
    by_picture = frame.groupby("image_id")["caption"].apply(sorted)
    found = {
        frame["image_id"][row]: sorted(answers) for row, answers in zip(data.test["row"], data.test["answers"], strict=True)
    }
    assert found == by_picture.to_dict()
    assert all(len(answers) == 1 for answers in data.train["answers"])


def test_captions_listed_in_one_row_are_learnt_one_by_one() -> None:
    rows = Dataset.from_dict({"answers": [["a b", "c"], ["d"]], "pictures": [["x"], ["y"]], "row": [0, 1]})
    apart = _one_an_answer(rows)
    assert apart["answers"][:] == [["a b"], ["c"], ["d"]] and apart["row"][:] == [0, 0, 1]
    assert _one_a_picture(apart)["answers"][:] == rows["answers"][:]


def test_a_repeated_command_does_nothing_twice(tiny: Path, finished: RunStore, capsys) -> None:
    capsys.readouterr()
    assert mtl_lora(*arguments(tiny, finished.folder, "--methods", "all,heads-only,lora-per-task")) == 0
    assert "7 runs, 7 finished already" in capsys.readouterr().out


def test_plan_counts_what_the_model_has(tiny: Path, finished: RunStore, capsys) -> None:
    line = arguments(tiny, finished.folder, "--methods", "mtl-lora")
    assert mtl_lora("plan", *line[1:]) == 0
    shown = capsys.readouterr().out
    record = next(r for r in finished.finished() if r.config.method.name == "mtl-lora")
    assert f"{record.parameters.heads:,}" in shown and f"{record.parameters.adapter:,}" in shown


def test_export_has_the_adapter_and_the_projection(tiny: Path, finished: RunStore, tmp_path: Path, capsys) -> None:
    record = next(r for r in finished.finished() if r.config.method.name == "mtl-lora")
    common = [record.id, "--task", "nlvr", "--results", finished.folder, "--mirror", tiny]
    assert mtl_lora("export", *common, "--to", tmp_path) == 0
    assert (tmp_path / "adapter_model.safetensors").exists() and (tmp_path / "head.safetensors").exists()


@pytest.mark.parametrize("task", ["nlvr", "daquar", "flickr8k"])
def test_predict_on_files_gives_the_answers_of_the_record(
    task: str, tiny: Path, finished: RunStore, tmp_path: Path, capsys
) -> None:
    record = next(r for r in finished.finished() if r.config.method.name == "mtl-lora")
    (found,) = [one for one in TASKS if one.name == task]
    table = predictions(finished, record.id).query("task == @task")
    folder = tiny / "datasets" / found.dataset
    asked = pd.read_parquet(folder / "annotations" / "test.parquet").iloc[table["row"]]
    for image in pd.read_parquet(folder / "images" / "train.parquet").to_dict("records"):
        (tmp_path / image["image_id"]).write_bytes(image["image"]["bytes"])
    lines = ["\t".join([str(tmp_path / row["image_id"]), *(row[c] for c in found.inputs)]) for _, row in asked.iterrows()]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n")
    common = [record.id, "--task", task, "--results", finished.folder, "--mirror", tiny]
    capsys.readouterr()
    assert mtl_lora("predict", *common, tmp_path / "in.txt") == 0
    own = table["text"] if found.written else [found.labels[int(p)] if p == p else "no answer" for p in table["prediction"]]
    assert capsys.readouterr().out.splitlines() == list(own)
    (tmp_path / "in.txt").write_text(f"{tmp_path / 'in.txt'}" + "\tw1" * len(found.inputs) + "\n")
    assert mtl_lora("predict", *common, tmp_path / "in.txt") == 2
    assert "in.txt cannot be read: " in capsys.readouterr().err
    (tmp_path / "in.txt").write_text("a\tb\tc\n")
    assert mtl_lora("predict", *common, tmp_path / "in.txt") == 2
    assert f"line 1 has 3 parts; task {task} takes file of image_id" in capsys.readouterr().err


def damaged(tiny: Path, folder: Path) -> Path:
    """A copy of the mirror to be damaged."""
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("features"))
    return folder


def refused(mirror: Path, tmp_path: Path, capfd, *more: str, answer: str = ANSWER) -> str:
    """The one line that a command ends in, with status 2."""
    capfd.readouterr()
    assert mtl_lora(*arguments(mirror, tmp_path / "results", "--methods", "lora", *more, answer=answer)) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and not list((tmp_path / "results").glob("runs/*")), lines
    return lines[0]


def test_a_picture_that_cannot_be_read(tiny: Path, tmp_path: Path, capfd) -> None:
    mirror = damaged(tiny, tmp_path / "mirror")
    path = mirror / "datasets/image-text/daquar/images/train.parquet"
    images = pd.read_parquet(path)
    images["image"] = [value | {"bytes": value["bytes"][:40] + str(i).encode()} for i, value in enumerate(images["image"])]
    images.to_parquet(path)
    assert "picture " in (line := refused(mirror, tmp_path, capfd)) and "cannot be read: " in line


def test_a_missing_picture(tiny: Path, tmp_path: Path, capfd) -> None:
    mirror = damaged(tiny, tmp_path / "mirror")
    path = mirror / "datasets/image-text/nlvr/images/train.parquet"
    pd.read_parquet(path)[:-3].to_parquet(path)
    assert "no picture '1" in (line := refused(mirror, tmp_path, capfd)) and "annotations, test, row" in line


def test_features_of_another_model_or_version(tiny: Path, tmp_path: Path, capfd) -> None:
    mirror = damaged(tiny, tmp_path / "mirror")
    assert mtl_lora(*arguments(mirror, tmp_path / "first", "--methods", "lora", "--tasks", "nlvr")) == 0
    (about,) = (mirror / "features").glob("*/about.json")
    for changed in ({"model": OTHER_VISION}, {"revision": "0"}, {"format": 0}):
        about.write_text(json.dumps(json.loads(about.read_text()) | changed))
        assert f"{about.parent} does not hold features of {VISION}" in refused(mirror, tmp_path, capfd, "--tasks", "nlvr")


@pytest.mark.parametrize("content", [b"", np.zeros((3, 16), np.float16), np.full((4, 16), np.nan, np.float16)], ids=str)
def test_damaged_features_are_refused_not_read_as_zeros(content, tiny: Path, tmp_path: Path, capfd) -> None:
    mirror = damaged(tiny, tmp_path / "mirror")
    assert mtl_lora(*arguments(mirror, tmp_path / "first", "--methods", "lora", "--tasks", "nlvr")) == 0
    for path in (mirror / "features").rglob("*.npy"):
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    line = refused(mirror, tmp_path, capfd, "--tasks", "nlvr")
    assert ".npy" in line and "remove it" in line


BAD = {
    "no mirror": ([], ANSWER, "data set image-text/daquar is on no hub: give --mirror DIR"),
    "pictures": ([], ANSWER + ":pictures=none", "unknown kind of pictures 'none'; known: own, shuffled"),
    "grid": ([], ANSWER + ":grid=0", "grid must be at least 1, not 0"),
    "trained": ([], ANSWER + ":trained=all", "unknown trained part 'all'; known: projection, projection-biases-norms"),
    "vision": ([], "vision-language:vision=tiny/none", "lacks models/tiny/none; it has: "),
    "width": ([], ANSWER + ":vision_width=9", f"features of {VISION} have width 16, not vision_width=9"),
    "way": ([], "heads", "suite image-text is answered by: vision-language; not by heads"),
    "preset": (["--preset", "embedded"], ANSWER, "unknown preset for pictures 'embedded'; known: small, paper"),
    "encoder": (["--pooling", "mean"], ANSWER, "vision-language needs a language model"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_line_and_status_2(case: str, tiny: Path, tmp_path: Path, capfd, monkeypatch) -> None:
    more, answer, message = BAD[case]
    if case == "no mirror":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        line = ["run", "image-text", "--backbone", str(tiny / "models" / CAUSAL), "--targets", "q_proj"]
        answer = f"vision-language:vision={tiny / 'models' / VISION}"
        assert mtl_lora(*line, "--answer", answer, "--results", tmp_path) == 2
        assert message in capfd.readouterr().err
        return
    assert message in refused(tiny, tmp_path, capfd, *more, answer=answer)


def test_the_report_has_the_control_and_draws_samples_where_the_data_is(
    tiny: Path, finished: RunStore, tmp_path: Path
) -> None:
    where = ["report", "--results", finished.folder, "--out", tmp_path]
    assert mtl_lora(*where) == 0
    page = (tmp_path / "index.md").read_text()
    assert "## image-text" in page and "### Own pictures against others, lora: image-text" in page
    lora = next(r for r in finished.finished() if r.config.answering["pictures"] == "own" and "'lora'" in str(r.config))
    for task in TASKS:
        assert f"{100 * lora.scores[task.name].score:.1f} (" in page
    assert not (tmp_path / "samples").exists() and not list((tmp_path / "figures").glob("samples-*"))
    assert mtl_lora(*where, "--samples", "--mirror", tiny) == 0
    drawn = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert drawn == sorted(f"samples-image-text-{task.name}.{kind}" for task in TASKS for kind in ("png", "svg"))
    assert (tmp_path / "index.md").read_text() == page  # the committed page does not depend on the data at hand

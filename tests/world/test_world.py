"""The generated world is what its documentation says: language, pictures, the conflict knob, the encoder."""

from __future__ import annotations

import hashlib
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from benchmarks.analysis import conflict_check
from benchmarks.answering.heads import Heads
from benchmarks.experiment.presets import find_preset
from benchmarks.experiment.resolve import studies
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.model import build_model
from benchmarks.world import pretrain
from benchmarks.world.corpus import documents
from benchmarks.world.encoder import FOLDER, PATCH, PATCHES, vocabulary
from benchmarks.world.forms import FORMS, ROWS, decode_picture, world_rows
from benchmarks.world.language import COLOURS, DIMENSIONS, KINDS, READERS, SHAPES, value_of
from benchmarks.world.pictures import Thing, draw_thing, patches, render
from mtl_lora import InvalidInput

GRADED = ("similar", "relevance")
QUICK = find_suite("quick")


def labels(form: str, reader: str, conflict: float) -> np.ndarray:
    return np.array([row["label"] for row in world_rows(f"{form}-{reader}", "train", conflict)])


def test_every_combination_of_values_belongs_to_two_kinds() -> None:
    found = [tuple(value_of(kind, dimension) for dimension in DIMENSIONS) for kind in KINDS]
    assert all(found.count(values) == 2 for values in itertools.product(*DIMENSIONS.values())) and len(found) == 32


def test_the_suite_has_every_form_in_four_domains_and_both_readers() -> None:
    assert {task.name for task in QUICK.tasks} == {f"{form}-{reader}" for form in FORMS for reader in READERS}
    groups = [task.group for task in QUICK.tasks]
    assert {group: groups.count(group) // 2 for group in dict.fromkeys(groups)} == {
        "nlu": 3,
        "commonsense": 3,
        "image-text": 4,
        "ads": 3,
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("conflict", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_readers_answer_a_share_c_of_the_same_questions_in_opposite_ways(form: str, conflict: float) -> None:
    north, south = (world_rows(f"{form}-{reader}", "train", conflict) for reader in READERS)
    for one, other in zip(north, south, strict=True):
        assert all(one[column] == other[column] for column in one if column not in ("label", "text"))
        assert one["text"].removeprefix("north") == other["text"].removeprefix("south")
    differing = (labels(form, "north", conflict) != labels(form, "south", conflict)).mean()
    if conflict in (0, 1) and form not in GRADED:
        assert differing == conflict
    elif form not in GRADED:
        assert abs(differing - conflict) < 4 * np.sqrt(conflict * (1 - conflict) / ROWS["train"])
    elif conflict == 1:  # two of the two or three things that make the grade are turned round
        assert (labels(form, "north", 1.0) + labels(form, "south", 1.0) <= ROWS["train"]).all()
        assert np.corrcoef(labels(form, "north", 1.0), labels(form, "south", 1.0))[0, 1] < -0.2
    elif conflict == 0:
        assert differing == 0


def test_a_hinge_disputed_at_one_conflict_is_so_at_any_higher() -> None:
    disputed = [labels("sense", "north", c) != labels("sense", "south", c) for c in (0.25, 0.5, 0.75)]
    assert (disputed[0] <= disputed[1]).all() and (disputed[1] <= disputed[2]).all()
    assert 0 < disputed[0].sum() < disputed[1].sum() < disputed[2].sum()


@pytest.mark.parametrize("form", FORMS)
def test_no_class_is_much_commoner_than_another_and_training_rows_are_not_scored(form: str) -> None:
    task = next(task for task in QUICK.tasks if task.head == form)
    counts = np.bincount(labels(form, "north", 0.5), minlength=task.outputs)
    assert counts.max() <= len(counts) * 4 + 1.5 * ROWS["train"] / max(task.outputs, 2 + task.graded)
    shown = [{str(row | {"label": None}) for row in world_rows(f"{form}-north", split, 0.5)} for split in ROWS]
    assert len(shown[0] & shown[1]) < 0.4 * len(shown[1])  # the shortest forms ask of few things; others hardly repeat


def test_every_word_is_in_the_vocabulary_and_documents_hold_no_task() -> None:
    words = set(vocabulary())
    for task in QUICK.tasks:
        for row in world_rows(task.config, "test", 0.5):
            assert set(f"{row['text']} {row.get('text_pair', '')}".split()) <= words
    texts = [text for text, _ in itertools.islice(documents(0), 2000)]
    assert all(set(text.split()) <= words for text in texts)
    for wording in ("north :", "south :", "?", "first", "which", "caption", "find"):
        assert not any(wording in text for text in texts), wording
    assert texts == [text for text, _ in itertools.islice(documents(0), 2000)]


def test_documents_are_true_of_their_pictures() -> None:
    """What a text says in words, against the pixels: the colour, and side and height by where the ink lies."""
    pictured = ((set(text.split()), picture) for text, picture in documents(3) if picture is not None)
    for words, picture in itertools.islice(pictured, 60):
        (colour,) = words & set(COLOURS)
        y, x = np.argwhere((picture == COLOURS[colour]).all(-1)).mean(0)
        assert "left" not in words or x < 10
        assert "right" not in words or x >= 10
        assert "top" not in words or y < 10
        assert "bottom" not in words or y >= 10
        assert not {"big", "small"} <= words


def test_things_that_differ_look_different() -> None:
    choices = (*DIMENSIONS.values(), COLOURS, SHAPES)
    names = (*DIMENSIONS, "colour", "shape")
    looks = {render(Thing(**dict(zip(names, values, strict=True)))).tobytes() for values in itertools.product(*choices)}
    assert len(looks) == 2**4 * 4 * 4


def test_patches_are_the_cells_of_the_picture() -> None:
    for _ in range(8):
        thing = draw_thing(random.Random(0))
        picture = render(thing)
        cells = patches(picture[None])[0]
        assert cells.shape == (PATCHES, 300) and cells.min() == 0 and cells.max() <= 1
        (inked,) = np.flatnonzero(cells.any(1))
        assert divmod(inked, 2) == (thing.height == "bottom", thing.side == "right")
        assert (decode_picture(picture.tobytes()) == picture).all()


def test_the_encoder_is_small_and_the_one_the_preset_pins() -> None:
    weights = FOLDER / "model.safetensors"
    assert weights.stat().st_size <= 4 * 2**20
    pinned = find_preset("embedded").backbone.revision
    assert pinned == "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()


def test_weights_that_are_not_the_pinned_ones_are_refused() -> None:
    with pytest.raises(InvalidInput, match="model world-encoder has other weights than revision sha256:00"):
        Source().model("world-encoder", "sha256:00", torch.float32)


def test_a_batch_of_texts_and_pictures_equals_its_rows_one_by_one() -> None:
    source = Source()
    tokenizer = source.tokenizer("world-encoder", None)
    assert tokenizer.convert_ids_to_tokens(range(len(vocabulary()))) == vocabulary()
    model = source.model("world-encoder", None, torch.float32).eval()
    rows = []
    for task in QUICK.select(["vqa-north", "sense-north", "caption-south"]):
        own = Dataset.from_list(world_rows(task.name, "test", 0.5)[:3])
        rows += list(Heads().tokens(own.add_column("row", range(3)), task, tokenizer, 64, training=False))
    rows = [rows[i] for i in (3, 0, 6, 4, 1, 7, 8)]
    whole, mask = _hidden(model, tokenizer, rows)
    for i, row in enumerate(rows):
        alone, _ = _hidden(model, tokenizer, [row])
        torch.testing.assert_close(whole[i, : mask[i].sum()], alone[0], rtol=1e-4, atol=1e-4)
    assert tokenizer.decode(rows[0]["input_ids"]).count(PATCH) == PATCHES
    swapped = [row | ({"picture": rows[2]["picture"]} if row.get("picture") else {}) for row in rows]
    changed = (_hidden(model, tokenizer, swapped)[0] - whole).abs().amax((1, 2)) > 0.1
    assert changed.tolist() == [True, False, False, True, False, True, True]


def _hidden(model, tokenizer, rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    batch = Heads().collate(rows, tokenizer)
    with torch.no_grad():
        hidden = model(batch["input_ids"], batch["attention_mask"], batch.get("pictures")).last_hidden_state
    return hidden, batch["attention_mask"]


def test_pretraining_makes_the_same_weights_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a", "b"):
        pretrain.main(tmp_path / name, steps=3, seed=1)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("a", "b"))
    assert first.keys() == second.keys() == load_file(FOLDER / "model.safetensors").keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "were guessed right" in capsys.readouterr().out


def test_the_encoder_reads_pictures() -> None:
    """A linear probe of its masked word tells sizes and places of things, and does not where pictures are exchanged."""
    source, rng = Source(), random.Random(5)
    tokenizer, model = source.tokenizer("world-encoder", None), source.model("world-encoder", None, torch.float32).eval()
    things = [draw_thing(rng) for _ in range(500)]
    pictures = torch.as_tensor(patches(np.stack([render(thing) for thing in things])))
    for dimension in DIMENSIONS:
        texts = [f"{PATCH} " * PATCHES + f"{dimension} of the {t.colour} {t.shape} : [MASK]" for t in things]
        batch = tokenizer(texts, return_tensors="pt")
        with torch.no_grad():
            right, wrong = (
                model(batch["input_ids"], batch["attention_mask"], seen).last_hidden_state[:, -2].numpy()
                for seen in (pictures, pictures.roll(1, 0))
            )
        truth = [getattr(thing, dimension) for thing in things]
        probe = LogisticRegression(max_iter=1000).fit(right[:300], truth[:300])
        assert probe.score(right[300:], truth[300:]) > 0.85
        assert LogisticRegression(max_iter=1000).fit(wrong[:300], truth[:300]).score(wrong[300:], truth[300:]) < 0.65


@pytest.mark.slow
def test_gradients_of_the_readers_part_as_conflict_grows() -> None:
    found = []
    for study in studies(StudyOptions("quick", methods="lora", conflict="0,0.5,1", max_eval=40)):
        (run,) = study.runs()
        cosines = conflict_check.cosines(conflict_check.gradients(build_model(run, study.suite, study.source), study))
        assert set(cosines) == set(FORMS)
        found.append(np.mean(list(cosines.values())))
    assert found[0] > 0.7 and found[0] > found[1] + 0.15 and found[1] > found[2] + 0.05

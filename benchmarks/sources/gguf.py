"""GGUF files as backbones: written out once as an ordinary folder of safetensors, configuration and tokenizer."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from benchmarks.sources.location import cache_folder, readable
from mtl_lora.errors import InvalidInput

SUFFIX = ".gguf"
ORIGIN = "converted_from"  # in the configuration that is written: what the weights are of
FULL = {"F32": torch.float32, "F16": torch.float16}  # the dtype of what is written; bfloat16 for all other kinds


def converted(file: Path) -> Path:
    """The folder of a GGUF file's model, written into the user's cache where it is not there yet."""
    if not file.is_file():
        raise InvalidInput(f"model {file} is not a file")
    folder = cache_folder() / "models" / sha256(file)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        convert(file, folder)
    return folder


def convert(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file as ``folder``, whole or not at all; InvalidInput where it cannot be read.

    Quantised weights are dequantised: what is written are the weights that quantising left, not those it started from.
    """
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        with readable(f"{file.name}, which should be a GGUF file of a language model,"):
            _write(file, made)
        shutil.move(made, folder)


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(file: Path, folder: Path) -> None:
    from gguf import GGUFReader

    kinds: Counter[str] = Counter()
    for tensor in GGUFReader(file).tensors:
        kinds[tensor.tensor_type.name] += tensor.n_elements
    kind = kinds.most_common(1)[0][0]
    options: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=FULL.get(kind, torch.bfloat16), quantization_config=GgufConfig(dequantize=True), **options
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, **options).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config[ORIGIN] = f"{kind} weights of {file.name}, sha256 {sha256(file)}"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

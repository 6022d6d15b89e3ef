"""Folders of pretrained models: which files their weights, configuration and tokenizer are read from, and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.records.recipe import WeightsIdentity
from benchmarks.sources.location import cache_folder
from mtl_lora.errors import InvalidInput

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NOT_READ = ("adapter_config.json", "shard-*-model-*.safetensors")  # transformers would read them on top, or instead
CONFIGURATION = ("config.json", "generation_config.json", "preprocessor_config.json")
BY_THE_WAY = ("transformers_version", "_name_or_path")  # of a configuration: what decides nothing
VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
TOKENIZER = (*VOCABULARY, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
HUB_FILES = ("*.json", "*.txt", "*.model")  # all of the above
HUB_WEIGHTS = (WEIGHTS, "model-*.safetensors")
LARGE = 1 << 28  # bytes from which a hash is worth remembering


def has_weights(folder: Path) -> bool:
    """Whether there are any, readable or not."""
    return any(True for pattern in ("*.safetensors", "*.bin") for _ in folder.glob(pattern))


def weight_files(folder: Path) -> list[Path]:
    """The files that a model's weights are read from. InvalidInput where there are none in safetensors."""
    for pattern in NOT_READ:
        for file in folder.glob(pattern):
            raise InvalidInput(f"{file} does not belong into the folder of a pretrained model: remove it")
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickled = sorted(file.name for file in folder.glob("*.bin"))
    if pickled:
        raise InvalidInput(f"{folder / pickled[0]}: weights are read from safetensors alone (pickled ones can hold code)")
    raise InvalidInput(f"{folder} holds no weights ({WEIGHTS}, or {INDEX} with its parts)")


def _shards(folder: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{folder / INDEX} does not say which files hold the weights") from error
    lacking = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if lacking or not names:
        raise InvalidInput(f"{folder} lacks {lacking[0] if lacking else 'weights'}, which {INDEX} names")
    return [folder / name for name in names]


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that a model's tokenizer is read from; none where there is no vocabulary among them."""
    if not any(True for pattern in VOCABULARY for _ in folder.glob(pattern)):
        return []
    return sorted({file for pattern in TOKENIZER for file in folder.glob(pattern)})


def identity(folder: Path) -> WeightsIdentity:
    """What the model in a folder is."""
    files = tokenizer_files(folder)
    tokenizer = _digest(f"{file.name} {_sha256([file])}".encode() for file in files) if files else None
    configuration = _digest(_configuration(folder / name) for name in CONFIGURATION if (folder / name).is_file())
    return WeightsIdentity(weights_hash(folder), configuration, tokenizer)


def weights_hash(folder: Path) -> str:
    """sha256 of the weights, several files one after another; that of large ones is remembered by their size and time."""
    files = weight_files(folder)
    states = [(file.resolve(), file.stat()) for file in files]
    if sum(state.st_size for _, state in states) < LARGE:
        return _sha256(files)
    key = _digest(f"{file} {state.st_size} {state.st_mtime_ns}".encode() for file, state in states)
    remembered = cache_folder() / "hashes" / key
    if not remembered.is_file():
        digest = _sha256(files)
        remembered.parent.mkdir(parents=True, exist_ok=True)
        temporary = remembered.with_name(f"{key}.{os.getpid()}")
        temporary.write_text(digest, encoding="utf-8")
        temporary.replace(remembered)
    return remembered.read_text(encoding="utf-8")


def _configuration(file: Path) -> bytes:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        deciding = {name: value for name, value in entries.items() if name not in BY_THE_WAY}
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{file} is not a JSON object") from error
    return f"{file.name} {json.dumps(deciding, sort_keys=True)}".encode()


def _sha256(files: Sequence[Path]) -> str:
    def blocks() -> Iterable[bytes]:
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    yield block

    return _digest(blocks())


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

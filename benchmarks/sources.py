"""Where data sets and models come from: the hub, or a mirror folder of plain clones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import torch
from datasets import Dataset, get_dataset_config_names, load_dataset
from datasets.config import HF_DATASETS_CACHE
from datasets.exceptions import DatasetNotFoundError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.presets import Backbone
from benchmarks.suite import Task
from benchmarks.world.encoder import FOLDER as WORLD_ENCODER
from benchmarks.world.forms import world_rows
from mtl_lora.errors import InvalidInput


@dataclass(frozen=True)
class Source:
    """Loads by hub id. With a mirror, everything comes from it: ``mirror/datasets/<id>`` and ``mirror/models/<id>``."""

    mirror: Path | None = None

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise InvalidInput(f"mirror {self.mirror} is not a folder; it should hold datasets/<hub id> and models/<hub id>")

    def rows(self, task: Task, split: str) -> Dataset:
        """The rows of one split of a task's data set."""
        if task.conflict is not None:
            return world_rows(task.config, split, task.conflict)
        if task.files is not None:
            return self._json_rows(task, split)
        if self.mirror is None and "/" not in task.dataset:  # a hub id has an owner
            raise InvalidInput(
                f"data set {task.dataset} is on no hub: give --mirror DIR with datasets/{task.dataset}, laid out as its "
                "suite in benchmarks/suites says"
            )
        where, revision = self._locate("datasets", task.dataset, task.revision)
        try:
            if self.mirror is not None and task.config not in get_dataset_config_names(where):
                raise InvalidInput(f"{where} has no configuration {task.config!r}, which task {task.name} needs")
            return load_dataset(where, task.config, split=split, revision=revision, cache_dir=_cache(Path(where)))
        except (OSError, DatasetNotFoundError) as error:
            raise _unreachable("data set", task.dataset, error) from error
        except ValueError as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"data set {task.dataset}, {task.config}, split {split}: {_first_line(error)}") from error

    def _json_rows(self, task: Task, split: str) -> Dataset:
        where = self.origin(task, split)
        if self.mirror is not None and not Path(where).is_file():
            raise InvalidInput(f"mirror {self.mirror} lacks {where}, which task {task.name} needs")
        try:
            with Path(where).open("rb") if self.mirror else urlopen(where) as stream:
                rows = json.load(stream)
        except ValueError as error:
            raise InvalidInput(f"{where} is not a JSON list of rows: {_first_line(error)}") from error
        except OSError as error:
            raise _unreachable("data set", where, error) from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidInput(f"{where} is not a JSON list of rows")
        return Dataset.from_list(rows)

    def origin(self, task: Task, split: str) -> str:
        """Where the rows of a split come from, for messages."""
        if task.conflict is not None:
            return f"{task.dataset}, {task.config}, {split}"
        where, revision = self._locate("datasets", task.dataset, task.revision)
        if task.files is None:
            return f"{where}, {task.config}, {split}"
        file = task.files.format(config=task.config, split=split)
        return f"{where}/{file}" if self.mirror else f"https://raw.githubusercontent.com/{where}/{revision}/{file}"

    def tokenizer(self, backbone: str, revision: str | None) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer, padding on the right, with a padding token."""
        tokenizer = self._pretrained(AutoTokenizer, backbone, revision)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so which token it is does not matter
        return tokenizer

    def skeleton(self, backbone: str, revision: str | None, causal: bool = False) -> nn.Module:
        """The backbone's modules without weights (meta device), for counting. causal: with its language model's output."""
        config = self._pretrained(AutoConfig, backbone, revision)
        with torch.device("meta"), _readable(backbone):
            return _without_unused((AutoModelForCausalLM if causal else AutoModel).from_config(config))

    def model(self, backbone: str, revision: str | None, dtype: torch.dtype, causal: bool = False) -> nn.Module:
        """The pretrained backbone, without a head or, if causal, with its language model's output.

        A revision that is a hash must be that of the weights.
        """
        if revision is not None and revision.startswith("sha256:") and revision != f"sha256:{self.weights_hash(backbone)}":
            raise InvalidInput(f"the weights of {backbone} are not those of {revision}")
        loader = AutoModelForCausalLM if causal else AutoModel
        return _without_unused(self._pretrained(loader, backbone, revision, dtype=dtype))

    def pin(self, backbone: Backbone) -> Backbone:
        """The backbone with a revision: where none is given, the hub's commit of now, or the hash of a folder's weights."""
        if backbone.revision is not None:
            return backbone
        local = self.weights_hash(backbone.id)
        commit = None if local else self._pretrained(AutoConfig, backbone.id, None)._commit_hash
        return replace(backbone, revision=f"sha256:{local}" if local else commit)

    def weights_hash(self, backbone: str) -> str | None:
        """sha256 of the weights of a mirrored or local backbone; None on the hub, where the revision says it."""
        folder = Path(self._locate("models", backbone, None)[0])
        if not folder.is_dir():
            return None
        files = sorted(file for kind in ("*.safetensors", "*.bin") for file in folder.glob(kind))
        if not files:
            raise InvalidInput(f"{folder} holds no weights (*.safetensors or *.bin)")
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def _pretrained(self, loader: Any, backbone: str, revision: str | None, **kwargs: Any) -> Any:
        where, revision = self._locate("models", backbone, revision)
        try:
            with _readable(backbone):
                return loader.from_pretrained(where, revision=revision, **kwargs)
        except (OSError, SafetensorError) as error:
            raise _unreachable("model", backbone, error) from error

    def _locate(self, kind: str, name: str, revision: str | None) -> tuple[str, str | None]:
        """What to load: a folder of the mirror, or the hub id at its revision. A local folder may stand for a model."""
        if kind == "models" and name == WORLD_ENCODER.name:
            return str(WORLD_ENCODER), None
        if kind == "models" and Path(name).is_dir():
            return name, None
        if self.mirror is None:
            return name, revision
        folder = self.mirror / kind / name
        if not folder.is_dir():
            held = sorted(str(p.relative_to(self.mirror / kind)) for p in (self.mirror / kind).glob("*/*") if p.is_dir())
            raise InvalidInput(
                f"mirror {self.mirror} lacks {kind}/{name}; it has: {', '.join(held) or 'nothing of that kind'}"
            )
        return str(folder), None


def _cache(folder: Path) -> str | None:
    """A cache of its own for each state of a local folder; None for the hub.

    datasets tells folders apart by their cards alone, so that files that changed would be read as they were before.
    """
    if not folder.is_dir():
        return None
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return str(Path(HF_DATASETS_CACHE) / "folders" / hashlib.sha256(repr(state).encode()).hexdigest()[:16])


@contextmanager
def _readable(backbone: str) -> Iterator[None]:
    """transformers' refusals of a configuration, in one line."""
    try:
        yield
    except ValueError as error:
        raise InvalidInput(f"model {backbone}: {_first_line(error)}") from error


def _without_unused(model: nn.Module) -> nn.Module:
    """Drop BERT's pooler, which our heads do not read: it would be counted and adapted for nothing."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def _unreachable(kind: str, name: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"cannot load {kind} {name}: {_first_line(error)} (without internet, give --mirror DIR with a clone of it)"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

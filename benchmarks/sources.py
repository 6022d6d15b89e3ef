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
from datasets import Dataset, Image, get_dataset_config_names, load_dataset
from datasets.config import HF_DATASETS_CACHE
from datasets.exceptions import DatasetNotFoundError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from benchmarks.presets import Backbone
from benchmarks.suite import Task
from benchmarks.world.encoder import FOLDER as WORLD_ENCODER
from benchmarks.world.forms import world_rows
from mtl_lora.errors import InvalidInput

FEATURES = Path.home() / ".cache" / "mtl-lora" / "features"


@dataclass(frozen=True)
class Source:
    """Loads by hub id. With a mirror, everything comes from it: ``mirror/datasets/<id>`` and ``mirror/models/<id>``.

    features: folder in which what a vision model makes of pictures is kept.
    """

    mirror: Path | None = None
    features: Path = FEATURES

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise InvalidInput(f"mirror {self.mirror} is not a folder; it should hold datasets/<hub id> and models/<hub id>")

    def rows(self, task: Task, split: str) -> Dataset:
        """The rows of one split of a task's data set."""
        if task.conflict is not None:
            return world_rows(task.config, split, task.conflict)
        if task.files is not None:
            return self._json_rows(task, split)
        if self.mirror is None and not task.revision:
            raise InvalidInput(
                f"data set {task.dataset} is on no hub: give --mirror DIR with datasets/{task.dataset}, laid out as its "
                "suite in benchmarks/suites says"
            )
        return self._configuration(task, task.config, split, split)

    def picture_rows(self, task: Task, split: str) -> Dataset:
        """The rows that hold the pictures of a split, which may be the task's own; pictures as {"bytes", "path"}."""
        where = task.pictures
        if where.config is None:
            rows, columns = self.rows(task, split), where.columns
        else:
            rows, columns = self._configuration(task, where.config, split, where.split.format(split=split)), (where.image,)
            lacking = [name for name in (where.key, where.image) if name not in rows.column_names]
            if lacking:
                raise InvalidInput(f"{self.origin(task, split)}: its pictures have no column {lacking[0]!r}")
        for column in columns:
            if not isinstance(rows.features[column], Image) and set(rows[0][column]) != {"bytes", "path"}:
                raise InvalidInput(f"{self.origin(task, split)}: column {column!r} holds no pictures")
            rows = rows.cast_column(column, Image(decode=False))
        return rows

    def _configuration(self, task: Task, config: str, split: str, part: str) -> Dataset:
        """Rows ``part`` of a configuration; ``split`` is what {split} stands for in the names."""
        config = config.format(split=split)
        where, revision = self._locate("datasets", task.dataset.format(split=split), task.revision)
        try:
            if self.mirror is not None and config not in get_dataset_config_names(where):
                raise InvalidInput(f"{where} has no configuration {config!r}, which task {task.name} needs")
            return load_dataset(where, config, split=part, revision=revision, cache_dir=_cache(Path(where)))
        except (OSError, DatasetNotFoundError) as error:
            raise _unreachable("data set", where, error) from error
        except ValueError as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"data set {where}, {config}, split {part}: {_first_line(error)}") from error

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
        where, revision = self._locate("datasets", task.dataset.format(split=split), task.revision)
        if task.files is None:
            return f"{where}, {task.config.format(split=split)}, {split}"
        file = task.files.format(config=task.config, split=split)
        return f"{where}/{file}" if self.mirror else f"https://raw.githubusercontent.com/{where}/{revision}/{file}"

    def tokenizer(self, backbone: str, revision: str | None) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer, padding on the right, with a padding token."""
        tokenizer = self._pretrained(AutoTokenizer, backbone, revision)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so which token it is does not matter
        return tokenizer

    def skeleton(self, backbone: str, revision: str | None, language: bool = False) -> nn.Module:
        """The backbone's modules without weights (meta device), for counting. language: with the output of a language
        model."""
        config = self.config(backbone, revision)
        with torch.device("meta"), _readable(backbone):
            return _without_unused(_loader(config, language).from_config(config))

    def model(self, backbone: str, revision: str | None, dtype: torch.dtype, language: bool = False) -> nn.Module:
        """The pretrained backbone, without a head or, if asked for, with the output of a language model.

        A revision that is a hash must be that of the weights.
        """
        if revision is not None and revision.startswith("sha256:") and revision != f"sha256:{self.weights_hash(backbone)}":
            raise InvalidInput(f"the weights of {backbone} are not those of {revision}")
        loader = _loader(self.config(backbone, revision), language)
        return _without_unused(self._pretrained(loader, backbone, revision, dtype=dtype))

    def config(self, model: str, revision: str | None) -> PretrainedConfig:
        """A model's configuration."""
        return self._pretrained(AutoConfig, model, revision)

    def image_processor(self, model: str, revision: str | None) -> Any:
        """What makes the pixels of pictures that a vision model reads."""
        return self._pretrained(AutoImageProcessor, model, revision, backend="pil")

    def pin(self, backbone: Backbone) -> Backbone:
        """The backbone with a revision: where none is given, the hub's commit of now, or the hash of a folder's weights."""
        return backbone if backbone.revision else replace(backbone, revision=self.revision(backbone.id))

    def revision(self, model: str) -> str | None:
        """The hub's commit of now, or the hash of a folder's weights."""
        local = self.weights_hash(model)
        return f"sha256:{local}" if local else self.config(model, None)._commit_hash

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
        except ImportError as error:  # of a package that this kind of model needs
            raise InvalidInput(f"model {backbone}: {_first_line(error)}") from error
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


def _loader(config: PretrainedConfig, language: bool) -> Any:
    if not language:
        return AutoModel
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


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

"""Pretrained models and what belongs to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
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

from benchmarks.sources.location import Location, first_line, unreachable
from mtl_lora.errors import InvalidInput


class Backbones(Location):
    """Loads models, tokenizers and configurations by hub id, from a mirror by that id, or from a folder."""

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

    def revision(self, model: str) -> str | None:
        """The hub's commit of now, or the hash of a folder's weights."""
        local = self.weights_hash(model)
        return f"sha256:{local}" if local else self.config(model, None)._commit_hash

    def weights_hash(self, backbone: str) -> str | None:
        """sha256 of the weights of a mirrored or local backbone; None on the hub, where the revision says it."""
        folder = Path(self.locate("models", backbone, None)[0])
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
        where, revision = self.locate("models", backbone, revision)
        try:
            with _readable(backbone):
                return loader.from_pretrained(where, revision=revision, **kwargs)
        except ImportError as error:  # of a package that this kind of model needs
            raise InvalidInput(f"model {backbone}: {first_line(error)}") from error
        except (OSError, SafetensorError) as error:
            raise unreachable("model", backbone, error) from error


@contextmanager
def _readable(backbone: str) -> Iterator[None]:
    """transformers' refusals of a configuration, in one line."""
    try:
        yield
    except ValueError as error:
        raise InvalidInput(f"model {backbone}: {first_line(error)}") from error


def _loader(config: PretrainedConfig, language: bool) -> Any:
    if not language:
        return AutoModel
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _without_unused(model: nn.Module) -> nn.Module:
    """Drop BERT's pooler, which our heads do not read: it would be counted and adapted for nothing."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model

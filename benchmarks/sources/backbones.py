"""Pretrained models and what belongs to them. Nothing but data is read from their folders: no code of theirs ever runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from benchmarks.records.recipe import WeightsIdentity
from benchmarks.sources import gguf, model_folder
from benchmarks.sources.location import Location, impatient, readable, unreachable
from benchmarks.sources.pins import PINNED
from benchmarks.sources.quantised import refuse_unknown_kind, torchao_config
from benchmarks.world.encoder import FOLDER as WORLD_ENCODER
from mtl_lora.errors import InvalidInput
from mtl_lora.weights import dense

UNUSED = "pooler"  # BERT's, which our heads do not read: it would be counted and adapted for nothing


class Backbones(Location):
    """Loads models, tokenizers and configurations by hub id, from a mirror by that id, or from a folder.

    A folder, or a GGUF file, is given as a path: /models/mine or ./mine.gguf. A plain name is never one, whatever lies in
    the working directory.
    """

    def tokenizer(self, backbone: str, revision: str | None) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer, padding on the right, with a padding token; InvalidInput where the model embeds fewer
        tokens."""
        folder = self._folder(backbone, revision)
        if not model_folder.tokenizer_files(folder):
            raise InvalidInput(f"{folder} holds no tokenizer ({', '.join(model_folder.VOCABULARY)})")
        with readable(f"the tokenizer of {backbone}"):
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            last = max(tokenizer.get_vocab().values())
        embedded = self.config(backbone, revision).get_text_config().vocab_size
        if last >= embedded:
            raise InvalidInput(
                f"the tokenizer of {backbone} has token {last}; the model embeds {embedded} tokens, from 0 on"
            )
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so which token it is does not matter
        return tokenizer

    def skeleton(self, backbone: str, revision: str | None, language: bool = False) -> PreTrainedModel:
        """The backbone's modules without weights (meta device), for counting.

        Args:
            backbone: Hub id or folder.
            revision: Of it.
            language: With the output of a language model.
        """
        config = self.config(backbone, revision)
        with torch.device("meta"), readable(f"model {backbone}"):
            return _without_unused(_loader(config, language).from_config(config, trust_remote_code=False))

    def model(
        self,
        backbone: str,
        revision: str | None,
        dtype: torch.dtype,
        language: bool = False,
        quantise: str | None = None,
    ) -> PreTrainedModel:
        """The pretrained backbone, without a head or, if asked for, with the output of a language model.

        quantise: "int8" or "int4" for weights brought to that, see :func:`benchmarks.sources.quantised.torchao_config`.

        InvalidInput where its weights are not those of the revision, or not all of them and of the right shape.
        """
        self.identity(backbone, revision)
        config, folder = self.config(backbone, revision), self._folder(backbone, revision, weights=True)
        options: dict[str, Any] = {
            "dtype": dtype,
            "ignore_mismatched_sizes": True,
            "output_loading_info": True,
            "use_safetensors": True,
        }
        if quantise is not None:
            options["quantization_config"] = torchao_config(quantise)
        with readable(f"model {backbone}"):
            model, loaded = _loader(config, language).from_pretrained(
                folder, trust_remote_code=False, local_files_only=True, **options
            )
        _refuse_partial(backbone, model, loaded)
        return _without_unused(model)

    def config(self, model: str, revision: str | None) -> PretrainedConfig:
        """A model's configuration."""
        folder = self._folder(model, revision)
        with readable(f"model {model}"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if getattr(config, "transformers_weights", None) is not None:
            raise InvalidInput(
                f"model {model}: its configuration names weights of its own; they are read from model.safetensors"
            )
        refuse_unknown_kind(model, config)
        return config

    def image_processor(self, model: str, revision: str | None) -> Any:
        """What makes the pixels of pictures that a vision model reads."""
        folder = self._folder(model, revision)
        with readable(f"the image processor of {model}"):
            options = {"trust_remote_code": False, "local_files_only": True}
            return AutoImageProcessor.from_pretrained(folder, backend="pil", **options)

    def revision(self, model: str) -> str:
        """The hub's commit of now, or the hash of a folder's weights."""
        folder = self._folder(model, None)
        return folder.name if self.on_hub(model) else f"sha256:{model_folder.weights_hash(folder)}"

    def has_weights(self, model: str, revision: str | None) -> bool:
        """Whether a model's weights are on this machine."""
        return model_folder.has_weights(self._folder(model, revision))

    def converted_from(self, model: str) -> str | None:
        """What the weights of a mirrored or local model were converted from; None where nothing says that they were."""
        return None if self.on_hub(model) else getattr(self.config(model, None), gguf.ORIGIN, None)

    def identity(self, model: str, revision: str | None) -> WeightsIdentity:
        """What the model of that name is made of; InvalidInput where that is not what the revision stands for.

        A revision that is a hash is that of the weights; of a commit, ``PINNED`` knows what it holds. A commit of the hub
        itself, and one that is not pinned, are taken at their word.
        """
        identity = model_folder.identity(self._folder(model, revision, weights=True))
        wanted = {} if self.on_hub(model) else PINNED.get((model, revision), {})
        if revision is not None and revision.startswith("sha256:"):
            wanted = wanted | {"weights_sha256": revision.removeprefix("sha256:")}
        refuse_other(model, identity, wanted, f"revision {revision}")
        return identity

    def known_identity(self, model: str, revision: str | None) -> WeightsIdentity | None:
        """The same without fetching anything: of a model on the hub what is pinned, None where nothing is."""
        if not self.on_hub(model):
            return self.identity(model, revision)
        pinned = PINNED.get((model, revision), {})
        if "weights_sha256" not in pinned:
            return None
        return WeightsIdentity(pinned["weights_sha256"], pinned.get("config_sha256"), pinned.get("tokenizer_sha256"))

    def on_hub(self, model: str) -> bool:
        """Whether a model comes from the hub, not from a folder."""
        return self.mirror is None and model != WORLD_ENCODER.name and not _is_path(model)

    def _folder(self, model: str, revision: str | None, weights: bool = False) -> Path:
        """The folder of a model; for one of the hub, of a snapshot with or without its weights."""
        if model == WORLD_ENCODER.name:
            return WORLD_ENCODER
        if not _is_path(model):
            return _snapshot(model, revision, weights) if self.mirror is None else self.mirrored("models", model)
        if model.endswith(gguf.SUFFIX):
            return gguf.converted(Path(model))
        if not Path(model).is_dir():
            raise InvalidInput(f"model {model} is not a folder")
        return Path(model)


def refuse_other(model: str, found: WeightsIdentity, wanted: Mapping[str, str | None], owner: str) -> None:
    """InvalidInput where a hash of ``found`` is not the one ``wanted`` of that name, if there is one; of ``owner``."""
    kinds = {
        "weights_sha256": "other weights",
        "config_sha256": "another configuration",
        "tokenizer_sha256": "another tokenizer",
    }
    for name, other in kinds.items():
        if wanted.get(name) not in (None, getattr(found, name)):
            raise InvalidInput(f"model {model} has {other} than {owner}: sha256 {getattr(found, name)}, not {wanted[name]}")


def _snapshot(model: str, revision: str | None, weights: bool) -> Path:
    commit = None if revision is None or revision.startswith("sha256:") else revision
    files = [*model_folder.HUB_FILES, *(model_folder.HUB_WEIGHTS if weights else ())]
    impatient()
    try:
        return Path(snapshot_download(model, revision=commit, allow_patterns=files, ignore_patterns="*/*"))
    except (OSError, HFValidationError) as error:
        raise unreachable("model", model, error) from error


def _is_path(model: str) -> bool:
    return model in (".", "..") or model.startswith(("/", "./", "../"))


def _loader(config: PretrainedConfig, language: bool) -> Any:
    if not language:
        return AutoModel
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _without_unused(model: PreTrainedModel) -> PreTrainedModel:
    if getattr(model, UNUSED, None) is not None:
        setattr(model, UNUSED, None)
    return model


def _refuse_partial(backbone: str, model: PreTrainedModel, loaded: Mapping[str, set]) -> None:
    """InvalidInput where weights are not all of the model's. Those of a head on top of it do not matter.

    found: transformers' account of what was loaded.
    """
    missing = sorted(name for name in loaded["missing_keys"] if name.split(".")[0] != UNUSED)
    if missing:
        more = f" and {len(missing) - 1} more of its tensors" if missing[1:] else ""
        raise InvalidInput(f"model {backbone}: the weights lack {missing[0]}{more}")
    parts = {name for name, _ in [*model.named_children(), *model.base_model.named_children()]}
    unexpected = sorted(
        name
        for name in loaded["unexpected_keys"]
        if parts & {name.split(".")[0], name.removeprefix(f"{model.base_model_prefix}.").split(".")[0]}
    )
    if unexpected:
        more = f" and {len(unexpected) - 1} more tensors" if unexpected[1:] else ""
        raise InvalidInput(
            f"model {backbone}: the weights hold {unexpected[0]}{more}, which its configuration has no place for"
        )
    for name, held, wanted in sorted(loaded["mismatched_keys"]):
        raise InvalidInput(
            f"model {backbone}: {name} has the shape {[*held]} in the weights, {[*wanted]} by the configuration"
        )
    for name, parameter in model.named_parameters():
        if not dense(parameter).isfinite().all():
            raise InvalidInput(f"model {backbone}: {name} holds values that are no numbers")

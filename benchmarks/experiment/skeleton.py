"""What a study must know of its backbone, and does from its configuration alone: no weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig, PreTrainedModel

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.cloze import Cloze
from benchmarks.records.recipe import Backbone
from benchmarks.sources import Source
from benchmarks.sources.quantised import is_quantised, refuse_other_groups
from benchmarks.suites.spec import Task
from mtl_lora import InvalidInput, target_dims
from mtl_lora.targets import ALL_LINEAR, left_out


@dataclass(frozen=True)
class Skeleton:
    """A backbone without its weights.

    Attributes:
        base_parameters: How many the frozen backbone has.
        head_parameters: Of the tasks' heads, or of a projection, which no budget counts.
        dims: (d_in, d_out) of each layer to adapt.
        left_out: Which matrices targets "all-linear" leave out, and why; None where they leave out none.
    """

    base_parameters: int
    head_parameters: int
    dims: list[tuple[int, int]]
    left_out: str | None


def skeleton_of(
    backbone: Backbone, mode: AnswerMode, tasks: Sequence[Task], trains_base: Sequence[str], source: Source
) -> Skeleton:
    """The skeleton of a backbone that answers tasks in a mode.

    trains_base: the methods that train the base too.

    Raises:
        InvalidInput: Where it cannot, or has fewer positions than it would read.
    """
    model = source.skeleton(backbone.id, backbone.revision, mode.language)
    if not hasattr(model.config, "hidden_size"):
        raise InvalidInput(f"model {backbone.id} has no single hidden_size to put heads on")
    if model.config.is_encoder_decoder:
        _check_encoder_decoder(backbone, model.config, mode, tasks)
    if backbone.quantise or is_quantised(model.config):
        _check_quantised(backbone, model, mode, trains_base)
    most, more = getattr(model.config, "max_position_embeddings", None), mode.more_positions(tasks)
    if most is not None and backbone.max_length + more > most:
        beside = f" and {more} for pictures and the answer" if more else ""
        raise InvalidInput(f"max length {backbone.max_length}{beside}: {backbone.id} has no more than {most} positions")
    return Skeleton(
        base_parameters=sum(p.numel() for p in model.parameters()),
        head_parameters=mode.head_parameters(tasks, model),
        dims=target_dims(model, backbone.targets),
        left_out=left_out(model) if backbone.targets == (ALL_LINEAR,) else None,
    )


def _check_encoder_decoder(backbone: Backbone, config: PretrainedConfig, mode: AnswerMode, tasks: Sequence[Task]) -> None:
    """InvalidInput where the mode has no use for an encoder-decoder, or that does not say how its answers begin."""
    if not mode.language:
        raise InvalidInput(f"{mode.name} needs an encoder or a causal language model: {backbone.id} is an encoder-decoder")
    if getattr(config, "decoder_start_token_id", None) is None:
        raise InvalidInput(f"{backbone.id} does not say how answers begin: its config.json has no decoder_start_token_id")
    if isinstance(mode, Cloze) and (blank := [task.name for task in tasks if task.cloze and task.cloze.blank]):
        raise InvalidInput(
            f"cloze reads on behind the blank of {', '.join(blank)}, which causal models do: "
            f"{backbone.id} is an encoder-decoder; name other --tasks, or --answer likelihood"
        )


def _check_quantised(backbone: Backbone, model: PreTrainedModel, mode: AnswerMode, trains_base: Sequence[str]) -> None:
    """InvalidInput where quantised weights would be trained, or cannot be made of the model."""
    if backbone.quantise and is_quantised(model.config):
        raise InvalidInput(f"{backbone.id} is quantised already: it goes without --quantise")
    if mode.trains_base:
        raise InvalidInput(f"quantised weights stay frozen: give {mode.name} trained=projection")
    if trains_base:
        raise InvalidInput(f"quantised weights stay frozen, and {trains_base[0]} trains the base: give --methods without it")
    if backbone.quantise == "int4":
        refuse_other_groups(model)

"""From PEFT: checkpoints of LoRA and DoRA, with a head where they bring one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.peft_format import CONFIG, PREFIX, TENSORS, WEIGHTS
from mtl_lora import AdaptedModel, InvalidInput, target_layers
from mtl_lora.weights import dims

READ = {"r", "lora_alpha", "lora_dropout", "use_dora", "modules_to_save"}
WITHOUT_EFFECT = {  # on what tensors of nn.Linear layers compute; which layers are adapted, their names say
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",
    "task_type",
}
HARMLESS = {  # others, such as the starts of PiSSA and OLoRA, change the base weights too
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal"),
    "peft_type": ("LORA",),
}


@torch.no_grad()
def import_peft(base: nn.Module, folder: Path | str, tasks: Sequence[str]) -> AdaptedModel:
    """The base model adapted by a PEFT LoRA or DoRA checkpoint, shared by ``tasks``.

    A head that the checkpoint brings (``modules_to_save``) takes the place of the base's and is trained on; for one task.

    Raises:
        InvalidInput: For other kinds of checkpoint, settings not known to be harmless, several heads or one for several
            tasks, and tensors that are missing, of another shape or too many. The base is then as it was.
    """
    folder = Path(folder)
    config, tensors = _read(folder)
    kind = DoRA if config.get("use_dora") else LoRA
    method = kind(rank=config["r"], alpha=config["lora_alpha"], dropout=config.get("lora_dropout", 0.0))
    head = _head(base, config.get("modules_to_save"), tasks, folder)
    own = (
        {f"{PREFIX}{head}.{name}": tensor for name, tensor in base.get_submodule(head).state_dict().items()} if head else {}
    )
    layers = sorted({name.removeprefix(PREFIX).partition(".lora_")[0] for name in tensors.keys() - own.keys()})
    wanted = {name: tensor.shape for name, tensor in own.items()} | {
        f"{PREFIX}{name}.{TENSORS[own_name]}": shape
        for name, layer in target_layers(base, layers).items()
        for own_name, shape in method.shapes(*dims(layer), len(tasks)).items()
    }
    for name, shape in wanted.items():
        if name not in tensors or tensors[name].shape != shape:
            raise InvalidInput(f"{folder}: {name} is missing or not of shape {(*shape,)}")
    if tensors.keys() - wanted.keys():
        raise InvalidInput(f"{folder}: {min(tensors.keys() - wanted.keys())} is no tensor of a plain LoRA or DoRA")
    model = AdaptedModel(base, method, tasks, layers)
    for name, layer in model.layers():
        for own_name, parameter in layer.adapter.items():
            parameter.copy_(tensors[f"{PREFIX}{name}.{TENSORS[own_name]}"])
    for name, tensor in own.items():
        tensor.copy_(tensors[name])
    if head:
        base.get_submodule(head).requires_grad_(True)
    return model


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The settings of a checkpoint, all of them known, and its tensors."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise InvalidInput(f"{folder} is no PEFT checkpoint ({CONFIG} and {WEIGHTS}): {error}") from error
    if not isinstance(config, dict) or not {"r", "lora_alpha"} <= config.keys():
        raise InvalidInput(f"{folder}: {CONFIG} lacks r or lora_alpha")
    for name, value in config.items():
        if not _harmless(name, value):
            raise InvalidInput(f"{folder}: only plain LoRA and DoRA checkpoints can be imported, not {name}={value}")
    return config, tensors


def _head(base: nn.Module, saved: Sequence[str] | None, tasks: Sequence[str], folder: Path) -> str | None:
    """The module of the base that a checkpoint brings whole, by the names PEFT looks for at the ends of paths; None where it
    brings none. InvalidInput where it brings several, or one for several tasks, or one whose weights others use too."""
    if not saved:
        return None
    found: list[str] = [path for path, _ in base.named_modules() if any(f".{path}".endswith(f".{name}") for name in saved)]
    if len(found) != 1 or len(tasks) != 1:
        raise InvalidInput(
            f"{folder}: one head is imported for one task, not modules_to_save={saved} "
            f"({', '.join(found) or 'none'} of this base) for {len(tasks)} tasks"
        )
    inside = {id(parameter) for parameter in base.get_submodule(found[0]).parameters()}
    names = [name for name, parameter in base.named_parameters(remove_duplicate=False) if id(parameter) in inside]
    if len(names) != len(inside):
        raise InvalidInput(f"{folder}: the head {found[0]} shares a weight of this base ({', '.join(names)})")
    return found[0]


def _harmless(name: str, value: object) -> bool:
    """Whether a setting leaves a checkpoint plain LoRA or DoRA. Options not known here, of later versions, must be off."""
    if name in HARMLESS:
        return value in HARMLESS[name]
    return name in READ | WITHOUT_EFFECT or not value

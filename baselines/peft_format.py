"""Exchange with PEFT: any task of any method leaves as an ordinary LoRA (or DoRA) checkpoint; such checkpoints come in.

For one task the factors fold: A = D, B = U C_t. So what is exported is not an approximation.
File format: ``adapter_config.json`` and ``adapter_model.safetensors`` as huggingface/peft writes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from baselines.dora import DoRA
from baselines.lora import LoRA
from mtl_lora import AdaptedModel, InvalidInput

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
TENSORS = {"A": "lora_A.weight", "B": "lora_B.weight", "m": "lora_magnitude_vector"}  # ours -> PEFT's
PLAIN = {  # what the rest of a configuration must be for the checkpoint to be plain LoRA
    "bias": "none",
    "lora_bias": False,
    "use_rslora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
}
SAFE_STARTS = (True, False, None, "gaussian", "orthogonal")  # others (PiSSA, OLoRA, ..) change the base weights too


@torch.no_grad()
def export_peft(model: AdaptedModel, task: str, folder: Path | str, base_name: str | None = None) -> None:
    """Write one task as a PEFT checkpoint into ``folder``. base_name: hub id of the base model, for its configuration."""
    if not model.count():
        raise InvalidInput(f"{model.method.name} trains no adapter, so there is none to export")
    index, tensors, rank = model.context.index(task), {}, 0
    for name, layer in model.layers():
        a, b = layer.fold(index)
        rank = a.shape[0]
        folded = {"A": a, "B": b} | ({"m": layer.adapter["m"]} if "m" in layer.adapter else {})
        for own, theirs in TENSORS.items():
            if own in folded:
                tensors[f"{PREFIX}{name}.{theirs}"] = folded[own].detach().cpu().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": model.method.scaling * rank,  # PEFT scales by lora_alpha / r, and r may be n times ours
        "lora_dropout": model.method.dropout,
        "target_modules": [name for name, _ in model.layers()],
        "use_dora": model.method.name == "dora",
        "inference_mode": True,
        "fan_in_fan_out": False,
        **PLAIN,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


@torch.no_grad()
def import_peft(base: nn.Module, folder: Path | str, tasks: Sequence[str]) -> AdaptedModel:
    """The base model adapted by a PEFT LoRA or DoRA checkpoint, shared by ``tasks``. InvalidInput for other kinds."""
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise InvalidInput(f"{folder} is no PEFT checkpoint ({CONFIG} and {WEIGHTS}): {error}") from error
    unlike = [name for name, plain in PLAIN.items() if (config.get(name) or plain) != plain]
    unlike += ["init_lora_weights"] * (config.get("init_lora_weights") not in SAFE_STARTS)
    unlike += ["peft_type"] * (config.get("peft_type") != "LORA")
    if unlike:
        name = unlike[0]
        raise InvalidInput(f"{folder}: only plain LoRA and DoRA checkpoints can be imported, not {name}={config.get(name)}")
    if not {"r", "lora_alpha"} <= set(config):
        raise InvalidInput(f"{folder}: {CONFIG} lacks r or lora_alpha")
    layers = sorted({name.removeprefix(PREFIX).partition(".lora_")[0] for name in tensors})
    kind = DoRA if config.get("use_dora") else LoRA
    method = kind(rank=config["r"], alpha=config["lora_alpha"], dropout=config.get("lora_dropout", 0.0))
    model = AdaptedModel(base, method, tasks, layers)
    for name, layer in model.layers():
        for own, parameter in layer.adapter.items():
            theirs = f"{PREFIX}{name}.{TENSORS[own]}"
            if theirs not in tensors or tensors[theirs].shape != parameter.shape:
                raise InvalidInput(f"{folder}: {theirs} is missing or not of shape {tuple(parameter.shape)}")
            parameter.copy_(tensors.pop(theirs))
    if tensors:
        raise InvalidInput(f"{folder}: {min(tensors)} is no tensor of a plain LoRA or DoRA")
    return model

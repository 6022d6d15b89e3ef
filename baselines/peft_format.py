"""To PEFT: any task of any method leaves as an ordinary LoRA (or DoRA) checkpoint; they come in by ``peft_import``.

For one task the factors fold: A = D, B = U C_t. So what is exported is not an approximation.
File format: ``adapter_config.json`` and ``adapter_model.safetensors`` as huggingface/peft writes them.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mtl_lora import AdaptedLinear, AdaptedModel, InvalidInput
from mtl_lora.weights import is_transposed

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
TENSORS = {"A": "lora_A.weight", "B": "lora_B.weight", "m": "lora_magnitude_vector"}  # ours -> PEFT's


@torch.no_grad()
def export_peft(
    model: AdaptedModel, task: str, folder: Path | str, base_name: str | None = None, base_revision: str | None = None
) -> None:
    """Write one task as a PEFT checkpoint into ``folder``, with what else of the base is trained (a head).

    Where PEFT is installed it is asked first whether it would load all of it: in some mixtures of experts it takes
    dense layers for experts by their names.

    Args:
        model: The adapted model, of any method; no task merged.
        task: Which task, by name.
        folder: Created where it is missing.
        base_name: Hub id or folder of the base model. With it PEFT's Auto classes load base and checkpoint together.
        base_revision: Revision of it on the hub.

    Raises:
        InvalidInput: If there is no such task or no adapter, or PEFT would not load all of it. Nothing is written.
    """
    if not model.count():
        raise InvalidInput(f"{model.method.name} trains no adapter, so there is none to export")
    index, rank = model.context.names.index(task), 0
    tensors: dict[str, Tensor] = {}
    for name, layer in model.layers():
        a, b = layer.fold(index)
        rank = a.shape[0]
        folded = {"A": a, "B": b} | ({"m": layer.adapter["m"]} if "m" in layer.adapter else {})
        tensors |= {f"{name}.{theirs}": folded[own] for own, theirs in TENSORS.items() if own in folded}
    heads = _trained_beside(model)
    tensors |= {f"{head}.{name}": t for head in heads for name, t in model.base.get_submodule(head).state_dict().items()}
    tensors = {f"{PREFIX}{name}": tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    config = {
        "peft_type": "LORA",
        "task_type": _task_type(model.base, heads),
        "base_model_name_or_path": base_name,
        "revision": base_revision,
        "r": rank,
        "lora_alpha": model.method.scaling * rank,  # PEFT scales by lora_alpha / r, and r may be n times ours
        "lora_dropout": model.method.dropout,
        "target_modules": [name for name, _ in model.layers()],
        "modules_to_save": heads or None,
        "fan_in_fan_out": any(is_transposed(layer.base) for _, layer in model.layers()),
        "use_dora": model.method.name == "dora",
        "bias": "none",
        "inference_mode": True,
    }
    _ask_peft(model, config, tensors)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _trained_beside(model: AdaptedModel) -> list[str]:
    """The modules of the base that hold trained parameters of their own, adapters aside."""
    adapters = {id(parameter) for parameter in model.adapter_parameters().values()}
    trained = [name for name, p in model.base.named_parameters() if p.requires_grad and id(p) not in adapters]
    return sorted({name.rpartition(".")[0] for name in trained})


def _task_type(base: nn.Module, heads: Sequence[str]) -> str | None:
    """What PEFT's Auto classes shall make of the base, by the name of its class; None where PEFT has no word for it."""
    name = type(base).__name__
    if name.endswith("ForSequenceClassification"):  # PEFT then expects the head, whatever it is called, to be trained
        return "SEQ_CLS" if {"classifier", "score"} & set(heads) else None
    ends = {"ForCausalLM": "CAUSAL_LM", "LMHeadModel": "CAUSAL_LM", "ForConditionalGeneration": "SEQ_2_SEQ_LM"}
    ends |= {"Model": "FEATURE_EXTRACTION"}
    known = hasattr(base, "config") and not heads
    return next((task_type for end, task_type in ends.items() if known and name.endswith(end)), None)


def _ask_peft(model: AdaptedModel, config: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """InvalidInput where PEFT, if installed, would make other tensors of this configuration than there are."""
    try:
        import peft
    except ImportError:
        return
    instead = "write the whole model by unload(task).save_pretrained(folder) instead"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = {name: value for name, value in config.items() if name != "peft_type"}
            theirs = peft.get_peft_model(_plain_on_meta(model), peft.LoraConfig(**settings))
            wanted = {name: tensor.shape for name, tensor in peft.get_peft_model_state_dict(theirs).items()}
    except ValueError as error:
        raise InvalidInput(f"PEFT {peft.__version__} does not load this checkpoint ({error}): {instead}") from error
    differing = {name for name, shape in wanted.items() if name not in tensors or tensors[name].shape != shape}
    differing |= tensors.keys() - wanted.keys()
    if differing:
        layers = config["target_modules"]
        lost = sorted(name for name in layers if any(d.startswith(f"{PREFIX}{name}.") for d in differing))
        loaded = f"{len(layers) - len(lost)} of {len(layers)} layers of this checkpoint right"
        raise InvalidInput(f"PEFT {peft.__version__} loads {loaded}, not {(lost or sorted(differing))[0]}: {instead}")


def _plain_on_meta(model: AdaptedModel) -> nn.Module:
    """The base without adapters and without memory: a copy in which every tensor lies on the meta device."""
    empty: dict[int, Any] = {id(b): b.to("meta") for b in model.base.buffers()}
    empty |= {id(p): nn.Parameter(p.to("meta"), requires_grad=False) for p in model.base.parameters()}
    base: nn.Module = copy.deepcopy(model.base, empty)
    for name, layer in [(name, module) for name, module in base.named_modules() if isinstance(module, AdaptedLinear)]:
        parent, _, child = name.rpartition(".")
        setattr(base.get_submodule(parent), child, layer.base)
    return base

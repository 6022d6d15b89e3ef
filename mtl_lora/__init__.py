"""MTL-LoRA and the core that all methods share: one adapted linear layer on one formula."""

from importlib import import_module
from typing import TYPE_CHECKING

from mtl_lora.errors import InvalidInput

if TYPE_CHECKING:
    from mtl_lora.budget import Fit, fit_rank, parse_budget
    from mtl_lora.files import load_trained, save_trained, trained_tensors
    from mtl_lora.layer import AdaptedLinear
    from mtl_lora.method import METHODS, Factors, Method, find_method, register
    from mtl_lora.model import AdaptedModel
    from mtl_lora.mtl_lora import MTLLoRA
    from mtl_lora.targets import target_dims, target_layers

__all__ = [
    "METHODS",
    "AdaptedLinear",
    "AdaptedModel",
    "Factors",
    "Fit",
    "InvalidInput",
    "MTLLoRA",
    "Method",
    "find_method",
    "fit_rank",
    "load_trained",
    "parse_budget",
    "register",
    "save_trained",
    "target_dims",
    "target_layers",
    "trained_tensors",
]

_MODULES = ("budget", "files", "layer", "method", "model", "mtl_lora", "targets")


def __getattr__(name: str) -> object:
    """Load the library, and torch with it, when something of it is first asked for: who reads records needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in _MODULES:
        names = vars(import_module(f"{__name__}.{module}"))
        globals().update({public: names[public] for public in __all__ if public in names})
    return globals()[name]

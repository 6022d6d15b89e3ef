"""MTL-LoRA and the core that all methods share: one adapted linear layer on one formula."""

from mtl_lora.budget import Fit, fit_rank, parse_budget
from mtl_lora.errors import InvalidInput
from mtl_lora.files import load_trained, save_trained, trained_tensors
from mtl_lora.layer import AdaptedLinear
from mtl_lora.method import METHODS, Factors, Method, find_method, register
from mtl_lora.model import AdaptedModel, target_dims, target_layers
from mtl_lora.mtl_lora import MTLLoRA

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

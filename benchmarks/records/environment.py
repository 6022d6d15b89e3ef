"""What a run ran on: versions, revision, hardware."""

from __future__ import annotations

import gc
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "scikit-learn", "scipy")


def environment(program: str = "mtl-lora") -> dict[str, Any]:
    """Python, packages, git revision (with a dirty flag), hardware, switches that change numbers, and the command."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "git": _git(),
        "platform": f"{platform.system()} {platform.machine()}",
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "command": " ".join([program, *sys.argv[1:]]),
    }


def hardware() -> str:
    """The accelerator if there is one, else the processor."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} threads of {_processor()}"


def peak_memory() -> int:
    """Bytes: the most allocated on the accelerator since :func:`forget_memory`, else the largest size of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_memory() -> None:
    """Free what earlier runs left (models in reference cycles hold an accelerator's memory) and start a new peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _git() -> dict[str, Any] | None:
    """Revision of the checkout this package lies in; dirty where files outside results/ differ from it."""

    def ask(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {
            "revision": ask("rev-parse", "HEAD"),
            "dirty": bool(ask("status", "--porcelain", "--", ".", ":!results")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None

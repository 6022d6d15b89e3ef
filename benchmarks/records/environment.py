"""What a run ran on: versions, revision, hardware."""

from __future__ import annotations

import gc
import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.records.schema import Environment, Git

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "scikit-learn", "scipy")


def environment(program: str = "mtl-lora") -> Environment:
    """Python, packages, git revision (with a dirty flag), hardware, switches that change numbers, and the command."""
    return Environment(
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        git=_git(),
        platform=f"{platform.system()} {platform.machine()}",
        hardware=hardware(),
        threads=torch.get_num_threads(),
        tf32=torch.backends.cuda.matmul.allow_tf32,
        command=" ".join([program, *sys.argv[1:]]),
        version=version("mtl-lora"),
    )


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
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line for line in lines if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _git() -> Git | None:
    """Revision of this package's own checkout; dirty where files outside results/ differ from it. None for an installed
    package, whatever other checkout it lies in."""
    root = Path(__file__).resolve().parents[2]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def ask(*command: str) -> str:
        return subprocess.check_output(
            ["git", *command], cwd=root, env=surroundings, stderr=subprocess.DEVNULL, text=True
        ).strip()

    try:
        ask("ls-files", "--error-unmatch", "--", __file__)
        if Path(ask("rev-parse", "--show-toplevel")) != root:
            return None
        return Git(ask("rev-parse", "HEAD"), dirty=bool(ask("status", "--porcelain", "--", ".", ":!results")))
    except (OSError, subprocess.CalledProcessError):
        return None

"""Timing of contestants in turn, and the bytes that autograd keeps for backward."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[], Tensor]


@dataclass
class Contestant:
    """Something to time. loss: runs the forward pass; model: its parameters are trained."""

    name: str
    model: nn.Module
    loss: Loss
    forward_seconds: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4) if self.trained else None

    @torch.no_grad()
    def forward(self) -> None:
        """A forward pass without gradients."""
        self.loss()

    def step(self) -> None:
        """Forward, backward, optimiser."""
        self.loss().backward()
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def saved_bytes(self) -> int:
        """Bytes that a forward pass keeps for backward, each storage once, the model's parameters not counted."""
        own = {p.untyped_storage().data_ptr() for p in [*self.model.parameters(), *self.model.buffers()]}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = self.loss()
        total = sum(kept.values())
        del loss
        return total


def race(contestants: list[Contestant], rounds: int, say: Callable[[int], Any]) -> None:
    """Time every contestant once a round, so that a slow moment of the machine hits all alike."""
    for number in range(rounds + 2):  # two rounds to warm up
        for contestant in contestants:
            for times, work in (
                (contestant.forward_seconds, contestant.forward),
                (contestant.step_seconds, contestant.step),
            ):
                seconds = _timed(work)
                if number >= 2:
                    times.append(seconds)
        say(number)


def without_dropout(model: nn.Module) -> None:
    """Let every contestant do the same work."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def peak_bytes(work: Callable[[], Any]) -> int:
    """Bytes that work takes at its highest beyond what is held before it, of this process (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is now
    work()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def ratio(own: list[float], other: list[float]) -> float:
    """The median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def profile(contestant: Contestant, top: int = 6) -> list[dict[str, Any]]:
    """Where one training step spends its time: the operators with the most time of their own, with their share of it."""
    cuda = torch.cuda.is_available()
    kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * cuda
    with torch.profiler.profile(activities=kinds) as profiler:
        contestant.step()
        _synchronise()
    spent = {e.key: e.self_device_time_total if cuda else e.self_cpu_time_total for e in profiler.key_averages()}
    heaviest = sorted(spent, key=spent.__getitem__, reverse=True)[:top]
    return [{"operator": key, "ms": spent[key] / 1e3, "share": spent[key] / sum(spent.values())} for key in heaviest]


def _timed(work: Callable[[], None]) -> float:
    _synchronise()
    start = time.perf_counter()
    work()
    _synchronise()
    return time.perf_counter() - start


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

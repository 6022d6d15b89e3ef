"""``python -m benchmarks.speed``: forward, training step and memory of every method beside PEFT and the loops of today."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import peft
import torch
import typer
from tabulate import tabulate
from torch import nn
from transformers import LlamaConfig, LlamaModel

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.moelora import MoELoRA
from baselines.multilora import MultiLoRA
from benchmarks.as_command import as_command
from benchmarks.experiment.presets import PRESETS
from benchmarks.records.environment import environment
from benchmarks.sources import Source
from benchmarks.speed.measure import Contestant, profile, race, ratio, without_dropout
from benchmarks.speed.record import write_record
from benchmarks.speed.references import GatheredB, LoopOverExperts, LoopOverTasks, substitute
from mtl_lora import AdaptedModel, Method, MTLLoRA
from mtl_lora.errors import unknown

RANK, TASKS = 8, 8
FROZEN = "frozen base (the bound)"
PEFT_LORA, PEFT_DORA = "PEFT LoRA", "PEFT DoRA"
OURS: dict[str, Method] = {
    "LoRA": LoRA(rank=RANK),
    "DoRA": DoRA(rank=RANK),
    "MultiLoRA, n 3": MultiLoRA(rank=RANK),
    "MoELoRA, E 8": MoELoRA(rank=RANK),
    "MTL-LoRA, n 3": MTLLoRA(rank=RANK),
}
REFERENCES = {
    "MTL-LoRA, gathered B": (MTLLoRA(rank=RANK), GatheredB),
    "MTL-LoRA, loop over tasks": (MTLLoRA(rank=RANK), LoopOverTasks),
    "MoELoRA, loop over experts": (MoELoRA(rank=RANK), LoopOverExperts),
}
SINGLE = "MTL-LoRA, n 3, batch of one task"
TARGETS = (  # contestant, peer, the most (or, below 1, the least advantage) that the ratio of training steps may be
    ("MTL-LoRA, n 3", PEFT_LORA, 1.10),
    ("MTL-LoRA, n 3", "MTL-LoRA, gathered B", 1.0),
    ("MTL-LoRA, n 3", "MTL-LoRA, loop over tasks", 1.0),
    ("MoELoRA, E 8", PEFT_LORA, 1.15),
    ("MoELoRA, E 8", "MoELoRA, loop over experts", 1 / 2),
    ("DoRA", PEFT_DORA, 1 / 1.5),
    ("MTL-LoRA, n 3", SINGLE, 1.05),
)
BACKBONES = ("minilm", "llama-block")


def contestants(backbone: str, dtype: torch.dtype, mirror: Path | None) -> list[Contestant]:
    """Every row of the table on its own copy of the backbone, all with the same batch of token vectors."""
    base, targets, vectors = _backbone(backbone, mirror)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base, vectors = base.to(device, dtype).train(), vectors.to(device, dtype)
    without_dropout(base)
    mixed = torch.arange(len(vectors), device=device) % TASKS

    def loss_of(model: nn.Module, ids: torch.Tensor = mixed) -> Callable[[], torch.Tensor]:
        frozen = not any(p.requires_grad for p in model.parameters())

        def loss() -> torch.Tensor:
            x = vectors.detach().requires_grad_(frozen)  # with nothing trained, gradients still flow through every layer
            with model.use_tasks(ids) if isinstance(model, AdaptedModel) else nullcontext():
                return model(inputs_embeds=x).last_hidden_state.float().square().mean()

        return loss

    def adapted(method: Method) -> AdaptedModel:
        return AdaptedModel(copy.deepcopy(base), method, [f"task{i}" for i in range(TASKS)], targets).to(device)

    frozen = copy.deepcopy(base).requires_grad_(False)
    contestants = [Contestant(FROZEN, frozen, loss_of(frozen))]
    for name, use_dora in ((PEFT_LORA, False), (PEFT_DORA, True)):
        config = peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=list(targets), use_dora=use_dora, lora_dropout=0.0)
        peer = peft.get_peft_model(copy.deepcopy(base), config)
        contestants.append(Contestant(name, peer, loss_of(peer)))
    for name, method in OURS.items():
        model = adapted(method)
        contestants.append(Contestant(name, model, loss_of(model)))
    for name, (method, kind) in REFERENCES.items():
        model = substitute(adapted(method), kind)
        contestants.append(Contestant(name, model, loss_of(model)))
    model = adapted(OURS["MTL-LoRA, n 3"])
    contestants.append(Contestant(SINGLE, model, loss_of(model, torch.zeros_like(mixed))))
    return contestants


def _backbone(name: str, mirror: Path | None) -> tuple[nn.Module, tuple[str, ...], torch.Tensor]:
    """The model, the layers to adapt, and token vectors (samples, tokens, width)."""
    torch.manual_seed(0)
    if name == "minilm":
        preset = PRESETS["small"].backbone
        model = Source(mirror).model(preset.id, preset.revision, torch.float32)
        return model, preset.targets, torch.randn(32, 64, model.config.hidden_size)
    if name == "llama-block":
        width, batch, tokens = (4096, 16, 512) if torch.cuda.is_available() else (1024, 16, 128)
        config = LlamaConfig(
            vocab_size=8,
            num_hidden_layers=1,
            hidden_size=width,
            intermediate_size=width * 43 // 16,
            num_attention_heads=width // 128,
            use_cache=False,
        )
        return LlamaModel(config), PRESETS["paper"].backbone.targets, torch.randn(batch, tokens, width)
    raise unknown("backbone", name, BACKBONES)


def table(field: list[Contestant]) -> list[dict[str, Any]]:
    """A row for each contestant; ratios are medians over rounds against PEFT LoRA in the same round."""
    peer = next(c for c in field if c.name == PEFT_LORA)
    return [
        {
            "contestant": c.name,
            "forward_ms": 1e3 * statistics.median(c.forward_seconds),
            "forward_ratio": ratio(c.forward_seconds, peer.forward_seconds),
            "step_ms": 1e3 * statistics.median(c.step_seconds),
            "step_ratio": ratio(c.step_seconds, peer.step_seconds),
            "saved_mib": c.saved_bytes() / 2**20,
            "parameters": sum(p.numel() for p in c.trained),
        }
        for c in field
    ]


def verdicts(field: list[Contestant], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each target with the ratio that was measured. bound: the ratio of the frozen base, an adapter that costs nothing."""
    steps = {c.name: c.step_seconds for c in field}
    saved = {row["contestant"]: row["saved_mib"] for row in rows}
    checks = [
        (f"training step of {one} / {other}", ratio(steps[one], steps[other]), most, ratio(steps[FROZEN], steps[other]))
        for one, other, most in TARGETS
    ]
    checks.append(("saved for backward, MTL-LoRA, n 3 / LoRA", saved["MTL-LoRA, n 3"] / saved["LoRA"], 1.1, 0.0))
    return [
        {"target": name, "measured": value, "at_most": most, "met": value <= most, "bound": bound}
        for name, value, most, bound in checks
    ]


def profiles(field: list[Contestant], checks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For the targets that were not met, where both sides spend a training step."""
    missed = [target for target, check in zip(TARGETS, checks, strict=False) if not check["met"]]
    names = {name for one, other, _ in missed for name in (one, other, FROZEN)}
    return {c.name: profile(c) for c in field if c.name in names}


def main(
    mirror: Annotated[Path | None, typer.Option(envvar="MTL_LORA_MIRROR", help="folder with models/<hub id>")] = None,
    backbone: Annotated[str, typer.Option(help="minilm, llama-block, or both separated by a comma")] = ",".join(BACKBONES),
    precision: Annotated[str, typer.Option(help="float32, bfloat16, or both")] = "float32,bfloat16",
    rounds: Annotated[int, typer.Option(help="repeats of every contestant", min=1)] = 15,
    out: Annotated[Path, typer.Option(help="folder of the record and the table")] = Path("results/speed"),
) -> None:
    """Time all contestants in turn and write a record and a table."""
    about, results, pages = environment("python -m benchmarks.speed"), [], []
    for name in backbone.split(","):
        for kind in precision.split(","):
            field = contestants(name, getattr(torch, kind), mirror)
            print(f"{name}, {kind}", flush=True)
            race(field, rounds, lambda n: print(f"  round {n + 1}/{rounds + 2}", flush=True) if n % 5 == 0 else None)
            rows = table(field)
            checks = verdicts(field, rows)
            where = profiles(field, checks)
            results.append({"backbone": name, "precision": kind, "rows": rows, "targets": checks, "profiles": where})
            shown = {"": rows, "Targets": checks} | {f"A training step of {name}": spent for name, spent in where.items()}
            print(_page(shown, "simple") + "\n", flush=True)
            pages += [f"## {name}, {kind}", _page(shown, "github")]
    stem = "speed-gpu" if torch.cuda.is_available() else "speed-cpu"
    write_record(out / f"{stem}.json", about, {"rounds": rounds, "results": results})
    heading = ["# Speed", f"{rounds} rounds on {about.hardware}; ratios against PEFT LoRA, medians."]
    (out / f"{stem}.md").write_text("\n\n".join([*heading, *pages]) + "\n", encoding="utf-8")
    print(f"written: {out}/{stem}.md")


def _page(shown: dict[str, list[dict[str, Any]]], style: str) -> str:
    parts = []
    for heading, rows in shown.items():
        parts += [f"{heading}:"] * bool(heading)
        parts.append(tabulate(_formatted(rows), headers="keys", tablefmt=style, disable_numparse=True))
    return "\n\n".join(parts)


def _formatted(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value

    return [{key.replace("_", " "): text(value) for key, value in row.items()} for row in rows]


if __name__ == "__main__":
    as_command(main)

"""``python -m benchmarks.speed.language_model``: what a training step and scoring cost with a language model, beside
transformers with PEFT, lm-evaluation-harness, and reading every option whole.

On a CPU times are CPU seconds of this process, so that whatever else a machine does counts little.
"""

from __future__ import annotations

import statistics
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tabulate import tabulate

from benchmarks.as_command import as_command
from benchmarks.records.environment import environment
from benchmarks.sources import Source
from benchmarks.speed.language_entries import PRESET, Entry, Ground, cpu_seconds, scoring, training
from benchmarks.speed.measure import peak_bytes, ratio
from benchmarks.speed.record import write_record
from mtl_lora.errors import unknown

BACKBONES = {"smollm2": PRESET.backbone.id, "stories3m": "tinystories/stories3m"}
PARTS = {"training": training, "scoring": scoring}
TARGETS = {  # of one entry against another: the most that its time, and its memory, may be of the other's
    ("training step: LoRA", "training step: PEFT LoRA, all logits"): (0.8, 0.6),
    ("cloze", "cloze: lm-evaluation-harness"): (0.6, None),
    ("likelihood", "likelihood: every option whole"): (0.4, None),
}


def race(found: list[Entry], rounds: int) -> None:
    """Time every entry once a round; the first round warms up and measures memory."""
    for number in range(rounds + 1):
        for entry in found:
            if number:
                entry.seconds.append(cpu_seconds(entry.run))
            else:
                entry.peak = peak_bytes(entry.work)
        print(f"  round {number}/{rounds}", flush=True)


def table(found: list[Entry]) -> list[dict[str, Any]]:
    """A row for each entry."""
    return [
        {
            "entry": e.name,
            "seconds": statistics.median(e.seconds),
            "peak_mib": e.peak / 2**20,
            "padding": e.padding,
            "rounds": e.seconds,
        }
        for e in found
    ]


def verdicts(found: list[Entry]) -> list[dict[str, Any]]:
    """Each target with the ratio that was measured."""
    by_name, checks = {entry.name: entry for entry in found}, []
    for (own, other), (most_time, most_memory) in TARGETS.items():
        if own not in by_name:
            continue
        a, b = by_name[own], by_name[other]
        checks.append(
            {"target": f"{own} / {other}", "of": "time", "measured": ratio(a.seconds, b.seconds), "most": most_time}
        )
        if most_memory is not None:
            checks.append({"target": f"{own} / {other}", "of": "memory", "measured": a.peak / b.peak, "most": most_memory})
    return checks


def main(
    mirror: Annotated[Path, typer.Option(envvar="MTL_LORA_MIRROR", help="folder with datasets and models of these ids")],
    backbone: Annotated[str, typer.Option(help="smollm2, stories3m, or both separated by a comma")] = ",".join(BACKBONES),
    part: Annotated[str, typer.Option(help="training, scoring, or both separated by a comma")] = ",".join(PARTS),
    rows: Annotated[int, typer.Option(help="scored rows of each of the eight tasks", min=1)] = 60,
    rounds: Annotated[int, typer.Option(help="repeats of every entry", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="folder of the record")] = Path("results/speed"),
) -> None:
    """Time training steps and scoring in turn and write a record."""
    for given, known in ((backbone, BACKBONES), (part, PARTS)):
        for name in given.split(","):
            if name not in known:
                raise unknown("name", name, known)
    about = environment("python -m benchmarks.speed.language_model")
    for name, kind in product(backbone.split(","), part.split(",")):
        print(f"{name}, {kind}", flush=True)
        entries = PARTS[kind](Ground(BACKBONES[name], Source(mirror), rows))
        race(entries, rounds)
        shown, checks = table(entries), verdicts(entries)
        print(tabulate([{k: v for k, v in row.items() if k != "rounds"} for row in shown], headers="keys", floatfmt=".2f"))
        print(tabulate(checks, headers="keys", floatfmt=".2f"))
        record = {
            "threads": torch.get_num_threads(),
            "backbone": name,
            "rows": rows,
            "rounds": rounds,
            "entries": shown,
            "targets": checks,
        }
        write_record(out / f"{kind}-cpu-{name}.json", about, record)


if __name__ == "__main__":
    as_command(main)

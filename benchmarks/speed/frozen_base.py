"""``python -m benchmarks.speed.frozen_base``: how a CPU should hold a frozen base under LoRA, in training and in scoring."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from tabulate import tabulate
from torch import Tensor, nn

from baselines.lora import LoRA
from benchmarks.as_command import as_command
from benchmarks.experiment.presets import PRESETS
from benchmarks.records.environment import environment
from benchmarks.sources import Source
from benchmarks.speed.measure import Contestant, race, ratio, without_dropout
from benchmarks.speed.record import write_record
from mtl_lora import AdaptedModel

ANSWER = 8  # tokens at the end whose logits a language model gives, as of the options of a question
SHAPES = {"small": (32, 64), "smollm2": (16, 96)}  # preset: samples and tokens of a batch


PLAIN = "float32 under autocast"  # what a run of precision bfloat16 does
ALL_LINEAR, INNER = "linear layers in bfloat16, under autocast", "the same but for the output layer"
WAYS = ("float32", PLAIN, ALL_LINEAR, INNER)  # the last for language models alone


def hold(base: nn.Module, way: str) -> None:
    """Turn into bfloat16 what autocast would turn at every step anew."""
    output = base.get_output_embeddings() if way == INNER else None  # type: ignore[operator]  # of transformers' models
    for module in base.modules() if way in (ALL_LINEAR, INNER) else ():
        if isinstance(module, nn.Linear) and module is not output:
            module.bfloat16()


def contestants(preset: str, source: Source) -> list[Contestant]:
    """The preset's model, held in every way, with the same adapters and the same batch of random tokens."""
    backbone, (samples, tokens) = PRESETS[preset].backbone, SHAPES[preset]
    language = preset == "smollm2"

    def contestant(way: str) -> Contestant:
        base = source.model(backbone.id, None, torch.float32, language=language).train()
        without_dropout(base)
        hold(base, way)
        torch.manual_seed(0)
        batch = torch.randint(base.config.vocab_size, (samples, tokens))
        model = AdaptedModel(base, LoRA(rank=8), ["task"], backbone.targets)
        own = {"logits_to_keep": ANSWER, "use_cache": False} if language else {}

        def loss() -> Tensor:
            with model.use_tasks(torch.zeros(samples, dtype=torch.long)):
                with torch.autocast("cpu", torch.bfloat16) if way != "float32" else nullcontext():
                    found = model(input_ids=batch, **own)
                if language:
                    return nn.functional.cross_entropy(found.logits.float().flatten(0, 1), batch[:, -ANSWER:].flatten())
                return found.last_hidden_state.float().square().mean()

        return Contestant(way, model, loss)

    return [contestant(way) for way in WAYS if language or way != INNER]


def table(found: list[Contestant]) -> list[dict[str, Any]]:
    """A row for each way; ratios are medians over rounds against float32 under autocast in the same round."""
    peer = next(one for one in found if one.name == PLAIN)
    return [
        {
            "base": one.name,
            "step_seconds": median(one.step_seconds),
            "step_ratio": ratio(one.step_seconds, peer.step_seconds),
            "forward_seconds": median(one.forward_seconds),
            "forward_ratio": ratio(one.forward_seconds, peer.forward_seconds),
        }
        for one in found
    ]


def main(
    mirror: Annotated[Path, typer.Option(envvar="MTL_LORA_MIRROR", help="folders with models/<hub id>")],
    preset: Annotated[str, typer.Option(help="small (MiniLM), smollm2, or both separated by a comma")] = ",".join(SHAPES),
    rounds: Annotated[int, typer.Option(help="repeats of every way", min=1)] = 9,
    out: Annotated[Path, typer.Option(help="folder of the record")] = Path("results/speed"),
) -> None:
    """Time all ways in turn and write a record."""
    results = {}
    for name in preset.split(","):
        found = contestants(name, Source(mirror))
        race(found, rounds, lambda _: None)
        results[name] = table(found)
        print(name + "\n" + tabulate(results[name], headers="keys", floatfmt=".3f"), flush=True)
    about = environment("python -m benchmarks.speed.frozen_base")
    write_record(out / "frozen-base-cpu.json", about, {"rounds": rounds, "results": results})


if __name__ == "__main__":
    as_command(main)

"""``python -m benchmarks.speed.language_model``: what a training step and scoring cost with a language model, beside
transformers with PEFT, lm-evaluation-harness, and reading every option whole.

On a CPU times are CPU seconds of this process, so that whatever else a machine does counts little.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import peft
import torch
import typer
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tabulate import tabulate
from torch import nn

from baselines.lora import LoRA
from baselines.references import HeadsOnly
from benchmarks.answering.base import AnswerMode, Batch, likeliest
from benchmarks.answering.cloze import Cloze, pairs
from benchmarks.answering.responses import LanguageModel, Likelihood
from benchmarks.data.splits import TaskData, load_task
from benchmarks.experiment.presets import PRESETS
from benchmarks.records.config import plain
from benchmarks.records.environment import environment
from benchmarks.sources import Source
from benchmarks.speed.measure import peak_bytes, ratio
from benchmarks.speed.references import score_whole
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode, lengths, schedule
from mtl_lora import AdaptedModel, InvalidInput, Method, MTLLoRA

PRESET = PRESETS["smollm2"]
BACKBONES = {"smollm2": PRESET.backbone.id, "stories3m": "tinystories/stories3m"}
RANK, SCORED_AT_ONCE = 8, 64
HARNESS_BATCHES = (8, 16, 32, 64)
TARGETS = {  # of one entry against another: the most that its time, and its memory, may be of the other's
    ("training step: LoRA", "training step: PEFT LoRA, all logits"): (0.8, 0.6),
    ("cloze", "cloze: lm-evaluation-harness"): (0.6, None),
    ("likelihood", "likelihood: every option whole"): (0.4, None),
}


@dataclass
class Entry:
    """Something to time, and what it gave the last time. padding: the part of what it reads that is no token."""

    name: str
    work: Callable[[], Any]
    padding: float | None = None
    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    result: Any = None

    def run(self) -> None:
        """Do the work, and keep what it gives."""
        self.result = self.work()


def entries(backbone: str, source: Source, rows: int) -> list[Entry]:
    """Training steps on one batch of ``commonsense``; scoring ``rows`` rows of each of its tasks, untrained, in float32."""
    size = PRESET.recipe.batch_size
    data = [load_task(task, source, "test", 4 * size, rows) for task in find_suite("commonsense").tasks]
    tokenizer = source.tokenizer(backbone, None)

    def base() -> Any:  # what peft and lm_eval take is a model of their own types
        model = source.model(backbone, None, torch.float32, language=True)
        model.config.use_cache = False
        return model

    def adapt(method: Method) -> AdaptedModel:
        return AdaptedModel(base(), method, [own.task.name for own in data], PRESET.backbone.targets)

    def batches(mode: AnswerMode) -> list[Batch]:
        _, test = encode(data, tokenizer, mode, PRESET.backbone.max_length)
        parts = (list(test.select(part)) for part in torch.arange(len(test)).split(SCORED_AT_ONCE))
        return [Collator(mode, tokenizer)(part) for part in parts]

    train, _ = encode(data, tokenizer, Cloze(), PRESET.backbone.max_length)
    order = schedule([len(own.train) for own in data], lengths(train), PRESET.recipe, 0)
    batch, widths = Collator(Cloze(), tokenizer)(list(train.select(order[:size]))), lengths(train)[order].reshape(-1, size)
    padding = 1 - widths.sum() / (size * widths.max(1).sum())
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(PRESET.backbone.targets))
    bare, adapted = (LanguageModel(adapt(method), ()).eval() for method in (HeadsOnly(), LoRA(rank=RANK)))
    options, responses = batches(Cloze(norm="none")), batches(Likelihood())
    return [
        Entry("training step: PEFT LoRA, all logits", peft_step(peft.get_peft_model(base(), config), batch)),
        Entry("training step: LoRA", step(LanguageModel(adapt(LoRA(rank=RANK)), ()), batch), padding),
        Entry("training step: MTL-LoRA", step(LanguageModel(adapt(MTLLoRA(rank=RANK)), ()), batch)),
        harness(HFLM(pretrained=base().eval(), tokenizer=tokenizer, backend="causal"), data),
        Entry("cloze", lambda: torch.cat([_predict(bare, batch) for batch in options]), scoring_padding(bare, options)),
        Entry("cloze: LoRA", lambda: torch.cat([_predict(adapted, batch) for batch in options])),
        Entry("likelihood: every option whole", lambda: torch.cat([_whole(adapted, batch) for batch in responses])),
        Entry("likelihood", lambda: torch.cat([_predict(adapted, batch) for batch in responses])),
    ]


def step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """One whole optimiser step of ours, as a run of the preset takes it."""
    return _step(model, lambda: model(**batch)["loss"])


def peft_step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """The same with transformers' own loss, which takes logits of every word at every place."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    return _step(model, lambda: model(**inputs, use_cache=False).loss)


def _step(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([p for p in model.train().parameters() if p.requires_grad], lr=1e-4)

    def work() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return work


def harness(model: HFLM, data: list[TaskData]) -> Entry:
    """lm-evaluation-harness's log-likelihoods of the same options, at the batch size that is the fastest for it here."""
    texts = [pair for own in data for row in own.test for pair in pairs(own.task, row)]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(texts)]

    def work(size: int, some: list[Instance]) -> list[float]:
        model.batch_size_per_gpu = size
        return [value for value, _ in model.loglikelihood(some, disable_tqdm=True)]

    sample = requests[:: max(len(requests) // 128, 1)]
    best = min(HARNESS_BATCHES, key=lambda size: _seconds(lambda: work(size, sample)))
    return Entry("cloze: lm-evaluation-harness", lambda: work(best, requests), result=best)


@torch.no_grad()
def _predict(model: LanguageModel, batch: Batch) -> torch.Tensor:
    return model(**batch)["predictions"]


@torch.no_grad()
def _whole(model: LanguageModel, batch: Batch) -> torch.Tensor:
    scores = score_whole(model.backbone, **batch)  # type: ignore[arg-type]  # all of them tensors
    return likeliest(scores)


def scoring_padding(model: LanguageModel, batches: list[Batch]) -> float:
    """The part of what is read in scoring that is no token of a prompt, nor of an option but its last."""
    read: list[int] = []
    embedding = model.backbone.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, output: read.append(inputs[0].numel()))
    for batch in batches:
        _predict(model, batch)
    hook.remove()
    ends = [(batch["scored"] * torch.arange(1, batch["scored"].shape[1] + 1)).amax(1) for batch in batches]
    needed = sum(int(batch["attention_mask"].sum()) for batch in batches) + sum(int((end - 1).sum()) for end in ends)
    return 1 - needed / sum(read)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def race(found: list[Entry], rounds: int) -> None:
    """Time every entry once a round; the first round warms up and measures memory."""
    for number in range(rounds + 1):
        for entry in found:
            if number:
                entry.seconds.append(_seconds(entry.run))
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
    rows: Annotated[int, typer.Option(help="scored rows of each of the eight tasks", min=1)] = 60,
    rounds: Annotated[int, typer.Option(help="repeats of every entry", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="folder of the record")] = Path("results/speed"),
) -> None:
    """Time training steps and scoring in turn and write a record."""
    about = plain(environment("python -m benchmarks.speed.language_model"))
    out.mkdir(parents=True, exist_ok=True)
    for name in backbone.split(","):
        print(name, flush=True)
        found = entries(BACKBONES[name], Source(mirror), rows)
        race(found, rounds)
        shown, checks = table(found), verdicts(found)
        print(tabulate([{k: v for k, v in row.items() if k != "rounds"} for row in shown], headers="keys", floatfmt=".2f"))
        print(tabulate(checks, headers="keys", floatfmt=".2f"))
        record = {
            "environment": about | {"created": datetime.now(UTC).isoformat(timespec="seconds")},
            "threads": torch.get_num_threads(),
            "backbone": name,
            "rows": rows,
            "rounds": rounds,
            "entries": shown,
            "targets": checks,
        }
        path = out / f"language-model-cpu-{name}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {path}", flush=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except InvalidInput as error:
        raise SystemExit(f"mtl-lora: {error}") from None

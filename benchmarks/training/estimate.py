"""How long a run will take: from finished runs on this hardware, or from a few measured steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset

from benchmarks.experiment.study import Study
from benchmarks.records.environment import hardware
from benchmarks.records.schema import RunRecord
from benchmarks.records.store import RunStore
from benchmarks.training.batches import Collator, encode, features_for, lengths, schedule
from benchmarks.training.model import build_model

PROBE_STEPS = 6
LARGEST_CPU_PROBE = 500_000_000  # parameters of a backbone that a processor can be asked to try out


@dataclass(frozen=True)
class Seconds:
    """Seconds of one run: of any, and by name of those methods that were measured. source: where the numbers are from."""

    any: float
    by_method: Mapping[str, float]
    source: str

    def of(self, method: str) -> float:
        """Of a run of this method."""
        return self.by_method.get(method, self.any)


def seconds_a_run(study: Study, store: RunStore) -> Seconds | None:
    """What a run of the study takes; None where nothing can tell."""
    samples, rows = study.steps * study.recipe.batch_size, sum(len(d.test) for d in study.data)
    sought = study.runs()[0]
    alike = [
        r
        for r in store.finished()
        if r.environment.hardware == hardware()
        and r.config.backbone == sought.backbone
        and r.config.precision == study.precision
        and r.config.suite == study.suite.name
        and r.config.answering == sought.answering
        and r.training.samples
        and r.training.resumed_from_step == 0
    ]

    def by(records: Sequence[RunRecord]) -> float:
        train = statistics.median(r.training.seconds / r.training.samples for r in records)
        scored = [sum(s.rows for s in r.scores.values()) for r in records]
        test = statistics.median(r.training.evaluation_seconds / n for r, n in zip(records, scored, strict=True))
        return train * samples + test * rows

    if alike:
        methods = {r.config.method.name for r in alike}
        by_method = {name: by([r for r in alike if r.config.method.name == name]) for name in methods}
        return Seconds(by(alike), by_method, f"{len(alike)} finished runs here")
    large = study.skeleton.base_parameters > LARGEST_CPU_PROBE and not torch.cuda.is_available()
    if large or not study.source.has_weights(study.backbone.id, study.backbone.revision):
        return None
    train, test = _probe(study)
    return Seconds(train * samples + test * rows, {}, "a few steps measured now")


def _probe(study: Study) -> tuple[float, float]:
    """Seconds a training sample and a scored sample, medians of a few batches of the first run."""
    run = study.runs()[0]
    tokenizer, mode = study.source.tokenizer(study.backbone.id, study.backbone.revision), study.mode
    train, test = encode(study.data, tokenizer, mode, study.backbone.max_length)
    size, steps = study.recipe.batch_size, min(PROBE_STEPS, study.steps)
    order = schedule([len(d.train) for d in study.data], lengths(train), study.recipe, run.seed)
    train = train.select(order[: steps * size])
    test = test.select(np.linspace(0, len(test) - 1, min(steps * size, len(test))).astype(int))  # of all lengths
    features = features_for(study.data, mode, study.source, train, test)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(run, study.suite, study.source).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained or [torch.zeros(1)], lr=0.0)

    def seconds(rows: Dataset, training: bool) -> float:
        """A sample, in batches of the recipe's size; the first batch warms up, where there are more."""
        times = []
        for places in torch.arange(len(rows)).split(size):
            batch = Collator(mode, tokenizer, features)(list(rows.select(places)))
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            start = time.perf_counter()
            with (
                torch.autocast(device.type, torch.bfloat16, enabled=study.precision == "bfloat16"),
                torch.set_grad_enabled(training),
            ):
                outputs = model.train(training)(**batch)
            if training:
                outputs["loss"].backward()
                optimizer.step()
                optimizer.zero_grad()
            next(iter(outputs.values())).flatten()[0].item()  # waits for the device
            times.append((time.perf_counter() - start) / len(places))
        return statistics.median(times[1:] or times)

    return seconds(train, True) if trained else 0.0, seconds(test, False)

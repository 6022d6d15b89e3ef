"""How long a run will take: from finished runs on this hardware, or from a few measured steps."""

from __future__ import annotations

import statistics
import time

import torch

from benchmarks.experiment.study import Study
from benchmarks.records.environment import hardware
from benchmarks.records.store import RunStore
from benchmarks.training.batches import Collator, encode, features_for, lengths, schedule
from benchmarks.training.model import build_model

PROBE_STEPS = 6
LARGEST_CPU_PROBE = 500_000_000  # parameters of a backbone that a processor can be asked to try out


def seconds_a_run(study: Study, store: RunStore) -> tuple[float, str] | None:
    """Seconds of one run of the study and where the number is from; None where nothing can tell."""
    samples = study.steps * study.recipe.batch_size
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
    if alike:
        train = statistics.median(r.training.seconds / r.training.samples for r in alike)
        scored = [sum(s.rows for s in r.scores.values()) for r in alike]
        test = statistics.median(r.training.evaluation_seconds / n for r, n in zip(alike, scored, strict=True))
        return train * samples + test * sum(len(d.test) for d in study.data), f"{len(alike)} finished runs here"
    if study.base_parameters > LARGEST_CPU_PROBE and not torch.cuda.is_available():
        return None
    train, test = _probe(study)
    rows = sum(len(d.test) for d in study.data)
    return train * samples + test * rows, "a few steps measured now"


def _probe(study: Study) -> tuple[float, float]:
    """Seconds a training sample and a scored sample, medians of a few batches of the first run."""
    run = study.runs()[0]
    tokenizer, mode = study.source.tokenizer(study.backbone.id, study.backbone.revision), study.mode
    train, _ = encode(study.data, tokenizer, mode, study.backbone.max_length)
    order = schedule([len(d.train) for d in study.data], lengths(train), study.recipe, run.seed)
    train = train.select(order[: PROBE_STEPS * study.recipe.batch_size])
    features = features_for(study.data, mode, study.source, train, train)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(run, study.source).to(device).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
    size = study.recipe.batch_size
    times: dict[bool, list[float]] = {True: [], False: []}
    for step in range(min(PROBE_STEPS, study.steps)):
        rows = train.select(range(step * size, (step + 1) * size))
        batch = {name: tensor.to(device) for name, tensor in Collator(mode, tokenizer, features)(list(rows)).items()}
        for training in (True, False):
            start = time.perf_counter()
            with (
                torch.autocast(device.type, torch.bfloat16, enabled=study.precision == "bfloat16"),
                torch.set_grad_enabled(training),
            ):
                loss = model(**batch)["loss"]
            if training:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            loss.item()  # waits for the device
            times[training].append((time.perf_counter() - start) / len(rows))
    # The first step warms up, where there are more.
    return statistics.median(times[True][1:] or times[True]), statistics.median(times[False][1:] or times[False])

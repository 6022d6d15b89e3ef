"""Records of a small study, made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.records.config import MethodConfig
from benchmarks.records.schema import to_json
from benchmarks.records.store import RunStore, read_record
from reports.evidence.results import Results

RESULTS = Path(__file__).parents[2] / "results"
SCORED = 400


def study(folder: Path, right: dict[str, dict[int, float]]) -> Results:
    """Records of a suite of two tasks. right: by method and seed the share of scored rows that are answered right."""
    rng = np.random.default_rng(0)
    (folder / "runs").mkdir(parents=True)
    example = read_record(next((RESULTS / "commonsense" / "runs").glob("*.json")))
    store = RunStore(folder)
    for method, seeds in right.items():
        for seed, share in seeds.items():
            chosen = MethodConfig(method, method, {"rank": 1, "alpha": 2.0, "dropout": 0.0})
            config = replace(example.config, seed=seed, budget=1000, tasks=("piqa", "siqa"), max_eval=SCORED, method=chosen)
            frames, scores = [], {}
            for task in config.tasks:
                answers = (rng.permutation(SCORED) >= share * SCORED).astype(float)  # 0 is right
                frames.append(pd.DataFrame({"task": task, "row": range(SCORED), "label": 0.0, "prediction": answers}))
                score = float((answers == 0).mean())
                scores[task] = replace(example.scores["piqa"], score=score, metrics={"accuracy": score}, rows=SCORED)
            trained = 8000 if method in ("lora-per-task", "heads-only") else 1000
            parameters = replace(example.parameters, trained=trained, heads=0)
            mean = float(np.mean([s.score for s in scores.values()]))
            record = replace(example, id=config.id, config=config, scores=scores, parameters=parameters, score=mean)
            store.record_path(record.id).write_text(to_json(record))
            pd.concat(frames).to_parquet(store.predictions_path(record.id), index=False)
    return Results(folder)


def run_of(results: Results, method: str) -> str:
    """The id of a method's run with seed 0."""
    (found,) = [r.id for r in results.records if (r.config.method.name, r.config.seed) == (method, 0)]
    return found

"""Brings records of an earlier schema to today's, without changing a number."""

from __future__ import annotations

from typing import Any

LOGGED = 10  # times a run, as schema 1 did


def from_schema_1(old: dict[str, Any]) -> dict[str, Any]:
    """A record of schema 1, whose runs had all finished, as one of schema 2."""
    config, training, environment = (dict(old[part]) for part in ("config", "training", "environment"))
    method = dict(config["method"])
    named = {name: method.pop(name) for name in ("label", "name", "released") if name in method}
    execution = {name: training.pop(name) for name in ("devices", "accumulation", "gradient_checkpointing")}
    every = max(training["steps"] // LOGGED, 1)
    steps = [every * (place + 1) for place in range(len(training["loss"]))]
    moved = {name: environment.pop(name) for name in ("source", "created")}
    weights = {"weights_sha256": environment.pop("weights_sha256"), "config_sha256": None, "tokenizer_sha256": None}
    return (
        old
        | moved
        | {
            "schema": 2,
            "status": "finished",
            "config": config | {"method": named | {"settings": method}},
            "training": training | {"loss_steps": steps},
            "execution": execution,
            "environment": environment,
            "weights": weights,
        }
    )

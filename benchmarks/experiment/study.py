"""From options to the list of runs: data selected, ranks fitted to the budget, finished runs recognised."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import AnswerMode
from benchmarks.answering.causal_lm import Generation
from benchmarks.answering.heads import Heads
from benchmarks.answering.registry import answer_modes_for
from benchmarks.data.splits import SPLITS, TaskData, load_task
from benchmarks.experiment.parsing import MethodChoice
from benchmarks.experiment.protocols import ALPHA, PROTOCOLS, RANK, as_released, released
from benchmarks.records.config import PRECISIONS, Backbone, MethodConfig, Recipe, RunConfig, plain, steps
from benchmarks.sources import Source
from benchmarks.suites.spec import Suite
from mtl_lora import Fit, InvalidInput, find_method, fit_rank, parse_budget, target_dims
from mtl_lora.errors import unknown


@dataclass(frozen=True)
class Study:
    """What the user asked for, resolved: every method, budget and seed on one suite, backbone and recipe.

    budgets: ignored under protocol "paper", where every method has the released rank.
    """

    suite: Suite
    task_names: list[str]
    backbone: Backbone
    recipe: Recipe
    precision: str
    budgets: list[str]
    methods: list[MethodChoice]
    seeds: list[int]
    source: Source
    mode: AnswerMode = field(default_factory=Heads)
    protocol: str = "matched"
    split: str = "test"
    max_train: int | None = None
    max_eval: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if type(self.mode) not in answer_modes_for(self.suite):
            fitting = ", ".join(mode.name for mode in answer_modes_for(self.suite))
            raise InvalidInput(f"suite {self.suite.name} is answered by: {fitting}; not by {self.mode.name}")
        if self.mode.language and self.backbone.pooling != "last":
            raise InvalidInput(
                f"{self.mode.name} needs a language model; {self.backbone.id} is an encoder, read by its "
                f"{self.backbone.pooling} (--pooling last for a language model; multiple choice: --answer pairs)"
            )
        if self.protocol == "paper" and not isinstance(self.mode, Generation):
            raise InvalidInput(
                "protocol paper follows the released commonsense scripts: a causal model that generates answers"
            )
        for name in ("max_train", "max_eval"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InvalidInput(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")

    @cached_property
    def data(self) -> list[TaskData]:
        """The selected rows of every task; a task's id is its place here."""
        tasks = self.suite.select(self.task_names)
        return [load_task(task, self.source, self.split, self.max_train, self.max_eval) for task in tasks]

    @cached_property
    def _skeleton(self) -> tuple[int, list[tuple[int, int]], int]:
        """Parameters of the base, (d_in, d_out) of the layers to adapt, parameters that the answer mode adds."""
        model = self.source.skeleton(self.backbone.id, self.backbone.revision, self.mode.language)
        base = sum(p.numel() for p in model.parameters())
        if not hasattr(model.config, "hidden_size"):
            raise InvalidInput(f"model {self.backbone.id} has no single hidden_size to put heads on")
        if self.mode.language and model.config.is_encoder_decoder and not self.suite.pictures:
            raise InvalidInput(f"{self.mode.name} needs a causal language model; {self.backbone.id} is an encoder-decoder")
        tasks = self.suite.select(self.task_names)
        most, more = getattr(model.config, "max_position_embeddings", None), self.mode.more_positions(tasks)
        if most is not None and self.backbone.max_length + more > most:
            beside = f" and {more} for pictures and the answer" if more else ""
            raise InvalidInput(
                f"max length {self.backbone.max_length}{beside}: {self.backbone.id} has no more than {most} positions"
            )
        heads = self.mode.head_parameters(tasks, model)
        return base, target_dims(model, self.backbone.targets), heads

    @property
    def base_parameters(self) -> int:
        """Parameters of the frozen backbone."""
        return self._skeleton[0]

    @property
    def head_parameters(self) -> int:
        """Parameters of the tasks' heads, or of a projection, which no budget counts."""
        return self._skeleton[2]

    @cached_property
    def fits(self) -> dict[tuple[str, int], Fit]:
        """By label and budget in parameters: each method at the rank that meets the budget best.

        A reference that adapts each task apart gets the budget for each; one that trains no adapter is at budget 0. Under
        protocol "paper" each is at the released rank, and what it is off is off plain LoRA's count.
        """
        if self.protocol == "paper":
            return self._released_fits()
        fits: dict[tuple[str, int], Fit] = {}
        for budget in (parse_budget(text, self.base_parameters) for text in self.budgets):
            for choice in self.methods:
                kind, settings = find_method(choice.name), {"dropout": self.recipe.dropout, **choice.settings}
                if not kind().shapes(1, 1, 1):
                    fits[choice.label, 0] = Fit(kind(**settings), 0, 0.0)
                    continue
                tasks = 1 if kind.reference else len(self.suite.select(self.task_names))
                scaling = self.recipe.scaling
                fits[choice.label, budget] = fit_rank(kind, self._skeleton[1], tasks, budget, scaling=scaling, **settings)
        return fits

    def _released_fits(self) -> dict[tuple[str, int], Fit]:
        dims, tasks = self._skeleton[1], len(self.suite.select(self.task_names))
        budget = find_method("lora")(rank=RANK, alpha=ALPHA).count(dims, tasks)
        fits = {}
        for choice in self.methods:
            released(choice.name)
            settings = {"dropout": self.recipe.dropout, **choice.settings}
            method = find_method(choice.name)(rank=RANK, alpha=ALPHA, **settings)
            parameters = method.count(dims, tasks)
            fits[choice.label, budget] = Fit(method, parameters, parameters / budget - 1)
        return fits

    @property
    def steps(self) -> int:
        """Optimiser steps of one run."""
        return steps([len(d.train) for d in self.data], self.recipe)

    def runs(self) -> list[RunConfig]:
        """Every run, seed by seed, so that a study cut short has whole comparisons."""
        if not self.steps:
            raise InvalidInput(f"the training rows do not fill one batch of {self.recipe.batch_size}")
        return [self._run(*key, fit, seed) for seed in self.seeds for key, fit in self.fits.items()]

    def _run(self, label: str, budget: int, fit: Fit, seed: int) -> RunConfig:
        recipe, backbone, mode = self.recipe, self.backbone, self.mode
        if self.protocol == "paper":
            recipe, backbone, mode = as_released(fit.method.name, recipe, backbone, mode)
        return RunConfig(
            suite=self.suite.name,
            tasks=tuple(d.task.name for d in self.data),
            definitions={d.task.name: d.task.definition for d in self.data},
            protocol=self.protocol,
            backbone=backbone,
            method=MethodConfig(label, fit.method.name, plain(fit.method), fit.method.version),
            budget=budget,
            recipe=recipe,
            precision=self.precision,
            split=self.split,
            max_train=self.max_train,
            max_eval=self.max_eval,
            data={d.task.name: d.fingerprint for d in self.data},
            seed=seed,
            conflict=self.suite.conflict,
            answering=None if mode == Heads() else {"way": mode.name, **plain(mode)},
        )

"""From options to the list of runs: data selected, ranks fitted to the budget, finished runs recognised."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import baselines  # noqa: F401  (registers the methods)
from benchmarks.answering.base import AnswerMode
from benchmarks.answering.heads import Heads
from benchmarks.answering.language_model import TextMode
from benchmarks.answering.registry import answer_modes_for, recorded_answer_mode
from benchmarks.answering.responses import Generation
from benchmarks.data.splits import SPLITS, TaskData, load_task
from benchmarks.experiment.arms import Arm, Arms
from benchmarks.experiment.parsing import MethodChoice
from benchmarks.experiment.protocols import ALPHA, PROTOCOLS, RANK, as_released, released
from benchmarks.experiment.skeleton import Skeleton, skeleton_of
from benchmarks.experiment.tuning import Tuning, shifted
from benchmarks.records.config import PRECISIONS, Candidate, Choice, MethodConfig, RunConfig, Setting, plain
from benchmarks.records.recipe import Backbone, Recipe, steps
from benchmarks.sources import Source
from benchmarks.suites.spec import Suite
from mtl_lora import Fit, InvalidInput, find_method, parse_budget
from mtl_lora.errors import unknown


@dataclass(frozen=True)
class Study:
    """What the user asked for, resolved: every method, budget and seed on one suite, backbone and recipe.

    budgets: ignored under protocol "paper", where every method has the released rank, and where ``rank`` is given, which all
    methods then have. tuning: what is tried under protocol "tuned". stage: "trial" where its runs are those. architecture:
    of the backbone, where pooling or targets were chosen by it.
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
    rank: int | None = None
    tuning: Tuning | None = None
    stage: str | None = None
    architecture: str | None = None

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
                f"{self.backbone.pooling} (--pooling last for a language model; multiple choice: --answer bi-encoder)"
            )
        if self.tuning and set(self.tuning.seeds) & set(self.seeds):
            raise InvalidInput(
                "seeds that a learning rate was chosen by are not reported: --seeds and --tuning-seeds must differ"
            )
        if self.tuning and any("learning_rate" in choice.recipe for choice in self.methods):
            raise InvalidInput("protocol tuned chooses the learning rate of each method: name none with a method")
        if self.protocol == "paper" and not (self.suite.choice and isinstance(self.mode, Generation)):
            raise InvalidInput(
                "protocol paper follows the released commonsense scripts: a causal model that generates answers"
            )
        for choice in self.methods:
            self.recipe.with_values(choice.recipe)  # says which setting is wrong
        for name in ("max_train", "max_eval"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InvalidInput(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")

    @cached_property
    def data(self) -> list[TaskData]:
        """The selected rows of every task; a task's id is its place here."""
        tasks = self.suite.select(self.task_names)
        return [load_task(task, self.source, self.split, self.max_train, self.max_eval) for task in tasks]

    @cached_property
    def skeleton(self) -> Skeleton:
        """The backbone without its weights."""
        trains_base = [choice.name for choice in self.methods if find_method(choice.name).trains_base]
        return skeleton_of(self.backbone, self.mode, self.suite.select(self.task_names), trains_base, self.source)

    @property
    def notes(self) -> list[str]:
        """What was chosen for the user, and what is not adapted: one line each."""
        read = f"pooling {self.backbone.pooling}, targets {','.join(self.backbone.targets)}, answer mode {self.mode.name}"
        if isinstance(self.mode, TextMode) and self.mode.encoder_decoder:
            read += " (prompts to the encoder, answers to the decoder)"
        chosen = [f"by its architecture, {self.architecture}: {read}"] if self.architecture else []
        return [*chosen, *([self.skeleton.left_out] if self.skeleton.left_out else [])]

    @cached_property
    def arms(self) -> Arms:
        """The methods, and what their ranks depend on."""
        rank, alpha = (RANK, ALPHA) if self.protocol == "paper" else (self.rank, None)
        for choice in self.methods if self.protocol == "paper" else ():
            released(choice.name)
        return Arms(self.methods, self.skeleton.dims, len(self.suite.select(self.task_names)), self.recipe, rank, alpha)

    @cached_property
    def sizes(self) -> list[int]:
        """The budgets in parameters; where methods share a rank instead, what plain LoRA has at it."""
        if self.arms.rank is not None:
            return [find_method("lora")(rank=self.arms.rank).count(self.arms.dims, self.arms.tasks)]
        return [parse_budget(text, self.skeleton.base_parameters) for text in self.budgets]

    @cached_property
    def _fitted(self) -> tuple[dict[Arm, Fit], list[str]]:
        return self.arms.fits(self.sizes)

    @property
    def fits(self) -> dict[Arm, Fit]:
        """Every arm: its method at its rank, and how far that is off the budget."""
        return self._fitted[0]

    @cached_property
    def _by_value(self) -> dict[tuple[Arm, Setting], Fit]:
        """Every arm with each value of its knob, which may change the rank that meets the budget."""
        fits = {}
        for arm in self.fits:
            choice = self._choice(arm)
            for value in choice.knob.values if choice.knob else ():
                try:
                    fits[arm, value] = self.arms.fit(choice.at(value), arm[1], self.fits)
                except InvalidInput as error:
                    raise InvalidInput(f"the knob of {choice.label} at {value}: {error}") from error
        return fits

    def fit(self, arm: Arm, value: Setting) -> Fit:
        """An arm with a value of its knob; None where it has no knob."""
        return self.fits[arm] if value is None else self._by_value[arm, value]

    def trained_parameters(self, run: RunConfig) -> int:
        """Of a run's adapters of all tasks, or of the base where that is trained; heads are not counted."""
        method = self.fit((run.method.label, run.budget), run.candidate.value if run.method.knob else None).method
        return self.skeleton.base_parameters if method.trains_base else method.count(self.arms.dims, self.arms.tasks)

    def _choice(self, arm: Arm) -> MethodChoice:
        return next(choice for choice in self.methods if choice.label == arm[0])

    @property
    def left_out(self) -> list[str]:
        """Why a method that was not named is no arm: one line each."""
        return self._fitted[1]

    @property
    def steps(self) -> int:
        """Optimiser steps of one run."""
        return steps([len(d.train) for d in self.data], self.recipe)

    def runs(self) -> list[RunConfig]:
        """Every run, seed by seed, so that a study cut short has whole comparisons."""
        return [self.run(arm, seed) for seed in self.seeds for arm in self.fits]

    @cached_property
    def on_dev(self) -> Study:
        """The study of tuning seeds on the dev split, which has the data of trials."""
        assert self.tuning is not None
        return dataclasses.replace(self, split="dev", seeds=list(self.tuning.seeds), tuning=None, stage="trial")

    def grid(self, arm: Arm, rates: Sequence[float]) -> list[Candidate]:
        """What an arm tries for these learning rates: each with every value of its knob."""
        knob = self._choice(arm).knob
        scaled = [shifted(rate) if self.fits[arm].method.trains_base else rate for rate in rates]
        return [Candidate(rate, value) for rate in scaled for value in (knob.values if knob else (None,))]

    def trials(self, arm: Arm, candidates: Sequence[Candidate], seeds: Sequence[int]) -> list[RunConfig]:
        """The trials of an arm, seed by seed."""
        return [self.on_dev.run(arm, seed, candidate) for seed in seeds for candidate in candidates]

    def chosen(self, choices: Mapping[Arm, Choice]) -> list[RunConfig]:
        """The runs of arms as was chosen for them, seed by seed."""
        return [self.run(arm, seed, choice.candidate, choice) for seed in self.seeds for arm, choice in choices.items()]

    def run(
        self,
        arm: Arm,
        seed: int,
        candidate: Candidate | None = None,
        choice: Choice | None = None,
    ) -> RunConfig:
        """A run of an arm.

        Args:
            candidate: Its learning rate and the value of its knob, under protocol tuned.
            choice: Where they are from.
        """
        if not self.steps:
            raise InvalidInput(f"the training rows do not fill one batch of {self.recipe.batch_size}")
        label, budget = arm
        given, value = self._choice(arm), candidate.value if candidate else None
        method = self.fit(arm, value).method
        changed = {**given.at(value).recipe, **({"learning_rate": candidate.learning_rate} if candidate else {})}
        recipe, backbone, mode = self.recipe.with_values(changed), self.backbone, self.mode
        if self.protocol == "paper":
            assert isinstance(mode, Generation)
            recipe, backbone, mode = as_released(method.name, recipe, backbone, mode)
        instead = {name: getattr(self.recipe, name) for name in changed} or None
        return RunConfig(
            suite=self.suite.name,
            tasks=tuple(d.task.name for d in self.data),
            definitions={d.task.name: d.task.definition for d in self.data},
            protocol=self.protocol,
            backbone=backbone,
            method=MethodConfig(
                label=label,
                name=method.name,
                settings=plain(method),
                version=method.version,
                instead=instead,
                choice=choice or given.choice,
                knob=given.knob.name if given.knob else None,
            ),
            budget=budget,
            recipe=recipe,
            precision=self.precision,
            split=self.split,
            max_train=self.max_train,
            max_eval=self.max_eval,
            data={d.task.name: d.fingerprint for d in self.data},
            seed=seed,
            conflict=self.suite.conflict,
            answering=recorded_answer_mode(mode),
            rank=self.rank,
            stage=self.stage,
        )

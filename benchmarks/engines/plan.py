"""What ``run`` would do: sizes, numbers of runs, and how long they take by what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from benchmarks.experiment.arms import Arm
from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.protocols import PROTOCOLS
from benchmarks.experiment.study import Study
from benchmarks.experiment.trials import Trials
from benchmarks.experiment.tuning import Tuning
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore
from benchmarks.training.estimate import Seconds, seconds_a_run
from benchmarks.words import about, plural
from mtl_lora.budget import CLOSE

Stages = dict[str, tuple[int, int]]  # what runs are for: how many there are, how many are left


@dataclass(frozen=True)
class ArmPlan:
    """What is planned of an arm. mismatch: (adapter - budget) / budget. heads: their parameters. seconds: of one run, None
    where nothing is left of any arm or nothing tells."""

    method: str
    budget: int
    rank: int | None
    adapter: int
    mismatch: float
    heads: int
    steps: int
    stages: Stages
    seconds: float | None

    @property
    def runs(self) -> int:
        return sum(count for count, _ in self.stages.values())

    @property
    def left(self) -> int:
        return sum(left for _, left in self.stages.values())


@dataclass(frozen=True)
class Plan:
    """What the same options would run. tasks: rows of each to train on and to score. seconds: of all that is left, one run
    after another; source: where they are from."""

    suite: str
    backbone: str
    base_parameters: int
    protocol: str
    split: str
    tasks: dict[str, tuple[int, int]]
    notes: list[str]
    arms: list[ArmPlan]
    left_out: list[str]
    runs: int
    left: int
    seconds: float | None
    source: str | None


def plan(studies: Sequence[Study], store: RunStore) -> Plan:
    """What ``run`` with the same options would do."""
    first = studies[0]
    stages = {arm: _stages(arm, studies, store) for arm in first.fits}
    seconds = seconds_a_run(first, store) if any(left for runs in stages.values() for _, left in runs.values()) else None
    arms = [_arm(first, arm, runs, seconds) for arm, runs in stages.items()]
    return Plan(
        suite=first.suite.name,
        backbone=first.backbone.id,
        base_parameters=first.skeleton.base_parameters,
        protocol=first.protocol,
        split=first.split,
        tasks={d.task.name: (len(d.train), len(d.test)) for d in first.data},
        notes=first.notes,
        arms=arms,
        left_out=first.left_out,
        runs=sum(arm.runs for arm in arms),
        left=sum(arm.left for arm in arms),
        seconds=sum(arm.left * arm.seconds for arm in arms if arm.seconds is not None) if seconds else None,
        source=seconds.source if seconds else None,
    )


def text(plan: Plan, study: Study) -> str:
    """A plan for people. study: the first of those it is of."""
    table = [_row(study, arm) for arm in plan.arms]
    tasks = [(name, f"{train:,}", f"{scored:,}") for name, (train, scored) in plan.tasks.items()]
    return "\n".join(
        [
            f"suite {plan.suite} on {plan.backbone} ({plan.base_parameters:,} parameters)",
            *plan.notes,
            *_about(study),
            tabulate(table, headers="keys", disable_numparse=True),
            *plan.left_out,
            *_nearest(study),
            "",
            tabulate(tasks, headers=["task", "training rows", f"rows scored ({plan.split})"], disable_numparse=True),
            "",
            _total(plan),
        ]
    )


def _arm(study: Study, arm: Arm, stages: Stages, seconds: Seconds | None) -> ArmPlan:
    (label, budget), fit = arm, study.fits[arm]
    return ArmPlan(
        method=label,
        budget=budget,
        rank=fit.method.rank if budget else None,
        adapter=fit.parameters,
        mismatch=fit.mismatch,
        heads=study.skeleton.head_parameters,
        steps=study.steps,
        stages=stages,
        seconds=seconds.of(fit.method.name) if seconds else None,
    )


def _stages(arm: Arm, studies: Sequence[Study], store: RunStore) -> Stages:
    """The runs of an arm in all studies. Of trials as the grid is now: it may grow."""

    def count(runs: Sequence[RunConfig]) -> tuple[int, int]:
        return len(runs), sum(not store.record_path(run.id).exists() for run in runs)

    if studies[0].tuning is None:
        return {
            "finished": count([run for study in studies for run in study.runs() if (run.method.label, run.budget) == arm])
        }
    trials, trials_left, report, left = 0, 0, 0, 0
    for study in studies:
        grid = Trials.of(study, store)
        known, unfinished = count(grid.runs[arm])
        trials += grid.tuning.trials
        trials_left += grid.tuning.trials - known + unfinished
        choices, _ = grid.choices(store)
        report += len(study.seeds)
        left += count(study.chosen({arm: choices[arm]}))[1] if arm in choices else len(study.seeds)
    return {"trials": (trials, trials_left), "report runs": (report, left)}


def _row(study: Study, arm: ArmPlan) -> dict[str, str]:
    unmatched = study.arms.rank is not None
    return {
        "method": arm.method,
        **({} if unmatched else {"budget": f"{arm.budget:,}"}),
        "rank": "" if arm.rank is None else str(arm.rank),
        "adapter": f"{arm.adapter:,}",
        "of base": f"{100 * arm.adapter / study.skeleton.base_parameters:.3f}%",
        "more than lora" if unmatched else "off budget": f"{100 * arm.mismatch:+.1f}%" if arm.budget else "",
        "heads": f"{arm.heads:,}",
        **(_as_released(study, (arm.method, arm.budget)) if study.protocol == "paper" else {}),
        "steps": f"{arm.steps:,}",
        **{name: f"{count - left}/{count}" for name, (count, left) in arm.stages.items()},
        **({"hours": f"{arm.runs * arm.seconds / 3600:.2f}"} if study.tuning and arm.seconds is not None else {}),
    }


def _as_released(study: Study, arm: Arm) -> dict[str, str]:
    run = study.run(arm, study.seeds[0])
    rate, warmup, tokens = run.recipe.learning_rate, run.recipe.warmup, run.backbone.max_length
    return {"learning rate": f"{rate:g}", "warm-up": f"{warmup:g}", "tokens": str(tokens)}


def _about(study: Study) -> Iterator[str]:
    sized = PROTOCOLS[study.protocol]
    if study.rank is not None:
        sized = sized.replace(
            "at each budget as many adapter parameters for each method", f"all methods at rank {study.rank}"
        )
    yield f"protocol {study.protocol}: {sized}"
    if study.tuning:
        rates = ", ".join(f"{rate:g}" for rate in study.tuning.rates)
        yield (
            f"trials of every arm at learning rates {rates} (full fine-tuning: a tenth of each) "
            f"x {_seeds(study.tuning)}, on dev; the grid grows where the best lies on its edge"
        )
        knobs = [(choice.label, choice.knob) for choice in study.methods if choice.knob]
        if knobs:
            tried = "; ".join(f"{label} {knob.name} {', '.join(map(str, knob.values))}" for label, knob in knobs)
            yield f"each rate with every value of a knob: {tried}"
        yield f"report runs at the chosen rate x seeds {', '.join(map(str, study.seeds))}, on test"


def _seeds(tuning: Tuning) -> str:
    """Of trials."""
    if tuning.budget is None:
        return f"seeds {', '.join(map(str, tuning.seeds))}"
    rounds = ", ".join(f"{size} with seed {seed}" for (seed,), size in tuning.rounds)
    return f"seeds by halving, at most {plural(tuning.budget, 'trial')} each: {rounds}"


def _nearest(study: Study) -> Iterator[str]:
    """Better budgets, where some method is off."""
    off = any(abs(fit.mismatch) > CLOSE for (label, _), fit in study.fits.items() if label != LARGER)
    if off and study.arms.rank is None and (nearest := study.arms.nearest(study.sizes[0])):
        yield f"nearest budgets that all meet within {CLOSE:.0%}: {' and '.join(f'{n:,}' for n in nearest)}"


def _total(plan: Plan) -> str:
    if not plan.left:
        return f"0 of {plural(plan.runs, 'run')} to do, nothing is left to run"
    to_do = f"{plan.left:,} of {plural(plan.runs, 'run')} to do"
    if plan.seconds is None:
        return f"{to_do}, unknown here: no finished run to go by"
    return f"{to_do}, {about(plan.seconds)} one after another ({plan.source})"

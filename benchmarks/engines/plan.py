"""What ``run`` would do: sizes, numbers of runs, and how long they take by what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from benchmarks.experiment.arms import Arm
from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.protocols import PROTOCOLS
from benchmarks.experiment.study import Study
from benchmarks.experiment.trials import Trials
from benchmarks.progress import duration
from benchmarks.records.config import RunConfig
from benchmarks.records.store import RunStore
from benchmarks.training.estimate import Seconds, seconds_a_run
from mtl_lora.budget import CLOSE

Stages = dict[str, tuple[int, int]]  # what runs are for: how many there are, how many are left


def plan(studies: Sequence[Study], store: RunStore) -> str:
    """What the same options would run, for people."""
    first = studies[0]
    arms = {arm: _stages(arm, studies, store) for arm in first.fits}
    left = sum(left for stages in arms.values() for _, left in stages.values())
    seconds = seconds_a_run(first, store) if left else None
    table = [_row(first, arm, stages, seconds) for arm, stages in arms.items()]
    tasks = [(d.task.name, f"{len(d.train):,}", f"{len(d.test):,}") for d in first.data]
    return "\n".join(
        [
            f"suite {first.suite.name} on {first.backbone.id} ({first.base_parameters:,} parameters)",
            *_about(first),
            tabulate(table, headers="keys", disable_numparse=True),
            *first.left_out,
            *_nearest(first),
            "",
            tabulate(tasks, headers=["task", "training rows", f"rows scored ({first.split})"], disable_numparse=True),
            "",
            _total(arms, left, seconds),
        ]
    )


def _stages(arm: Arm, studies: Sequence[Study], store: RunStore) -> Stages:
    """The runs of an arm in all studies. Of trials as the grid is now: it may grow."""

    def count(runs: Sequence[RunConfig]) -> tuple[int, int]:
        return len(runs), sum(not store.record_path(run.id).exists() for run in runs)

    if studies[0].tuning is None:
        return {
            "finished": count([run for study in studies for run in study.runs() if (run.method.label, run.budget) == arm])
        }
    trials, report, left = [], 0, 0
    for study in studies:
        grid = Trials.of(study, store)
        trials += grid.runs[arm]
        choices, _ = grid.choices(store)
        report += len(study.seeds)
        left += count(study.chosen({arm: choices[arm]}))[1] if arm in choices else len(study.seeds)
    return {"trials": count(trials), "report runs": (report, left)}


def _row(study: Study, arm: Arm, stages: Stages, seconds: Seconds | None) -> dict[str, str]:
    (label, budget), fit = arm, study.fits[arm]
    unmatched = study.arms.rank is not None
    return {
        "method": label,
        **({} if unmatched else {"budget": f"{budget:,}"}),
        "rank": str(fit.method.rank) if budget else "",
        "adapter": f"{fit.parameters:,}",
        "of base": f"{100 * fit.parameters / study.base_parameters:.3f}%",
        "more than lora" if unmatched else "off budget": f"{100 * fit.mismatch:+.1f}%" if budget else "",
        "heads": f"{study.head_parameters:,}",
        **(_as_released(study, arm) if study.protocol == "paper" else {}),
        "steps": f"{study.steps:,}",
        **{name: f"{count - left}/{count}" for name, (count, left) in stages.items()},
        **(_hours(fit.method.name, stages, seconds) if study.tuning else {}),
    }


def _as_released(study: Study, arm: Arm) -> dict[str, str]:
    run = study.run(arm, study.seeds[0])
    rate, warmup, tokens = run.recipe.learning_rate, run.recipe.warmup, run.backbone.max_length
    return {"learning rate": f"{rate:g}", "warm-up": f"{warmup:g}", "tokens": str(tokens)}


def _hours(method: str, stages: Stages, seconds: Seconds | None) -> dict[str, str]:
    """Of all runs of an arm, one after another."""
    runs = sum(count for count, _ in stages.values())
    return {"hours": f"{runs * seconds.of(method) / 3600:.2f}"} if seconds else {}


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
            f"x seeds {', '.join(map(str, study.tuning.seeds))}, on dev; the grid grows where the best lies on its edge"
        )
        yield f"report runs at the chosen rate x seeds {', '.join(map(str, study.seeds))}, on test"


def _nearest(study: Study) -> Iterator[str]:
    """Better budgets, where some method is off."""
    off = any(abs(fit.mismatch) > CLOSE for (label, _), fit in study.fits.items() if label != LARGER)
    if off and study.arms.rank is None and (nearest := study.arms.nearest(study.sizes[0])):
        yield f"nearest budgets that all meet within {CLOSE:.0%}: {' and '.join(f'{n:,}' for n in nearest)}"


def _total(arms: dict[Arm, Stages], left: int, seconds: Seconds | None) -> str:
    count = sum(count for stages in arms.values() for count, _ in stages.values())
    if not left:
        return f"0 of {count} runs to do, nothing is left to run"
    if seconds is None:
        return f"{left} of {count} runs to do, unknown here: no finished run to go by"
    time = sum(left * seconds.of(label.partition(":")[0]) for (label, _), own in arms.items() for _, left in own.values())
    return f"{left} of {count} runs to do, about {duration(time)} one after another ({seconds.source})"

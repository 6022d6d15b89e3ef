"""What a reader must know of one table of scores in particular: what is the same of all is in the glossary."""

from __future__ import annotations

from benchmarks.experiment.catalogue import answer_modes
from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.presets import PICTURE_PRESETS, PRESETS
from benchmarks.experiment.tuning import HALVED, REDUCED, TUNED
from benchmarks.records.config import RunConfig
from benchmarks.words import plural
from reports.evidence.comparison import Comparison
from reports.evidence.entries import Entry


def lead(comparison: Comparison, budget: int) -> str:
    """Protocol, preset, backbone, sizes, and what was cut."""
    config, base = comparison.config, comparison.entries[0].base
    presets = PICTURE_PRESETS if comparison.suite.pictures else PRESETS
    named = [preset.name for preset in presets.values() if preset.backbone.id == config.backbone.id]
    parts = [
        f"Protocol {config.protocol}, {f'preset {named[0]}' if named else 'no preset'}, {config.backbone.id}",
        f"{base:,} parameters"
        if config.protocol == "paper" or config.rank is not None or not budget
        else f"budget {budget / base:.2%} of its {base:,} parameters",
    ]
    parts += [f"answered by {config.answer_mode}"] if config.answering is not None else []
    cut = [
        f"{limit:,} rows per task for {what}"
        for what, limit in (("training", config.max_train), ("scoring", config.max_eval))
        if limit
    ]
    parts.append(f"cut to at most {' and '.join(cut)}" if cut else "no rows cut here")
    parts.append(plural(config.recipe.epochs, "epoch"))
    return "; ".join(parts) + "."


def training(config: RunConfig) -> str:
    """At most how many rows, how often and how fast."""
    rows = f"at most {config.max_train:,} training rows per task, " if config.max_train else ""
    return f"{rows}{plural(config.recipe.epochs, 'epoch')}, {_rate(config)}"


def _quantised(config: RunConfig) -> str:
    return f" on a base in {config.backbone.quantise}" if config.backbone.quantise else ""


def _rate(config: RunConfig) -> str:
    """The learning rate of all, or that each has its own."""
    if config.protocol in TUNED:
        choice = config.method.choice
        less = {REDUCED: " (reduced: every second rate tried, fewer seeds)"}
        if choice is not None:
            less[HALVED] = f" (halved: at most {choice.budget} trials each)"
        knob = " and one more setting" if config.method.knob else ""
        return f"each method's own learning rate{knob}{less.get(config.protocol, '')}"
    if config.protocol == "paper":
        return "learning rates as released"
    return f"learning rate {config.recipe.learning_rate:g}"


def setting(comparison: Comparison) -> str:
    """What a comparison was measured with; tells it from the others of its suite."""
    config = comparison.config
    parts = [config.backbone.id, f"protocol {config.protocol}"]
    parts += [f"tasks {', '.join(config.tasks)}"] if len(config.tasks) < len(comparison.suite.tasks) else []
    parts += [f"rank {config.rank} for all: parameters unmatched"] if config.rank is not None else []
    parts += [training(config)]
    parts += [f"answered by {config.answer_mode}"] if config.answering is not None else []
    parts += [f"pictures {comparison.pictures}"] if comparison.pictures not in (None, "own") else []
    parts += [f"conflict {comparison.conflict:g}"] if comparison.conflict is not None else []
    parts += ["scored on the dev split: not a result to report"] if config.split == "dev" else []
    return ", ".join(parts)


def notes(comparison: Comparison, entries: list[Entry]) -> list[str]:
    """What a reader must know to read the table right."""
    config, recipe = comparison.config, comparison.config.recipe
    suite = comparison.suite
    lines = [
        f"Scores: {_metrics(comparison)}, averaged where a task has two."
        + (" Groups of tasks, but for the mean, are not tested." if comparison.groups else ""),
        *suite.notes,
        *_answering(config),
        f"{'Recipe' if config.protocol == 'paper' else 'One recipe for all'}: {plural(config.recipe.epochs, 'epoch')}, "
        f"batch {recipe.batch_size}, "
        f"{_rate(config)}, alpha / rank {recipe.scaling:g}, {recipe.sampling} sampling, "
        f"{config.precision}{_quantised(config)}; adapted: {', '.join(config.backbone.targets)}. "
        + (f"Heads ({entries[0].heads:,} parameters) are trained too and not counted." if entries[0].heads else ""),
        *_released(entries),
        *_own_recipes(comparison),
        *_unmatched(config),
        *_larger(entries),
        f"Training rows / scored rows: {_sizes(comparison)}.",
    ]
    if comparison.groups:
        lines.append("Rows are means over tasks: " + _listed(comparison.groups) + ". scores.csv has every task.")
    if config.split == "dev":
        lines.append("Scored on the dev split, rows set apart from training for choosing recipes: not a result to report.")
    return [*lines, *comparison.unfinished, *comparison.caveats]


def _answering(config: RunConfig) -> list[str]:
    if config.answering is None:
        return []
    settings = ", ".join(f"{name} {value}" for name, value in config.answering.items() if name != "way")
    mode = config.answer_mode
    return [f"Answered by {mode}: {answer_modes()[mode].summary}{f' ({settings})' if settings else ''}."]


def _released(entries: list[Entry]) -> list[str]:
    """Where methods differ in more than the method."""
    if not entries[0].released:
        return []
    own = [f"{e.label} {', '.join(f'{k} {v}' for k, v in (e.released or {}).items())}" for e in entries]
    return [
        "Protocol paper: every method at the released rank, whatever its parameters (off budget: against plain LoRA's), "
        f"and with the settings of its own script: {'; '.join(own)}."
    ]


def _own_recipes(comparison: Comparison) -> list[str]:
    """Settings of the recipe that methods have of their own."""
    configs = {record.config.method.label: record.config for record in comparison.records}
    own = []
    for label in dict.fromkeys(entry.label for entry in comparison.entries):
        config = configs[label]
        names = config.method.instead or {}
        settings = [f"{name.replace('_', ' ')} {getattr(config.recipe, name):g}" for name in names]
        if config.method.knob and config.method.knob not in names:
            settings.append(f"{config.method.knob.replace('_', ' ')} {config.candidate.value}")
        own += [f"{label} {', '.join(settings)}"] if settings else []
    return [f"Of their own: {'; '.join(own)}."] if own else []


def _unmatched(config: RunConfig) -> list[str]:
    if config.rank is None:
        return []
    return [f"Unmatched: all methods at rank {config.rank}, whatever their parameters (off budget: off plain LoRA's)."]


def _larger(entries: list[Entry]) -> list[str]:
    """Where the larger LoRA has not the size of the largest adapter, though that is what it is for."""
    larger = next((entry for entry in entries if entry.label == LARGER), None)
    largest = max((entry for entry in entries if entry.budget), key=lambda entry: entry.parameters, default=None)
    if larger is None or largest is None or largest.parameters - larger.parameters < larger.parameters / larger.rank:
        return []
    return [
        f"{LARGER} has {larger.parameters:,} parameters, {1 - larger.parameters / largest.parameters:.0%} fewer than "
        f"{largest.label}, the largest adapter here: its rank, {larger.rank}, is as high as the adapted layers are wide."
    ]


def _metrics(comparison: Comparison) -> str:
    tasks = comparison.suite.select(comparison.config.tasks)
    if len({task.metrics for task in tasks}) == 1:
        return " and ".join(tasks[0].metrics)
    if not comparison.groups:
        return ", ".join(f"{task.name} {' and '.join(task.metrics)}" for task in tasks)
    metrics: dict[str, list[str]] = {}
    for task in tasks:
        metrics.setdefault(" and ".join(task.metrics), []).append(task.name)
    common = max(metrics, key=lambda name: len(metrics[name]))
    others = [f"{name} for {', '.join(of)}" for name, of in metrics.items() if name != common]
    return ", ".join([*others, f"{common} for all others" if others else common])


def _sizes(comparison: Comparison) -> str:
    if len(set(comparison.rows.values())) == 1:
        return "{:,}/{:,} for each task".format(*next(iter(comparison.rows.values())))
    return ", ".join(f"{task} {train:,}/{test:,}" for task, (train, test) in comparison.rows.items())


def _listed(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{group}: {', '.join(tasks)}" for group, tasks in groups.items())

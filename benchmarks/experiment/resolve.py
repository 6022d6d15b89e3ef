"""From options to studies: preset and options joined, models pinned to revisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.bi_encoder import BiEncoder
from benchmarks.answering.heads import Heads
from benchmarks.answering.language_model import TextMode
from benchmarks.answering.registry import answer_modes_for, read_answer_mode
from benchmarks.answering.responses import Generation
from benchmarks.answering.vision_language import VisionLanguage
from benchmarks.experiment.architecture import pooling_of, targets_of
from benchmarks.experiment.methods import LARGER
from benchmarks.experiment.parsing import (
    MethodChoice,
    parse_answer_mode,
    parse_conflicts,
    parse_methods,
    parse_names,
    parse_rates,
    parse_seeds,
    with_knobs,
)
from benchmarks.experiment.presets import Preset, find_preset
from benchmarks.experiment.recorded import recorded_study
from benchmarks.experiment.study import Study
from benchmarks.experiment.study_options import StudyOptions
from benchmarks.experiment.tuning import HALVED, REDUCED, Tuning, window
from benchmarks.plugins import load_plugins
from benchmarks.records.recipe import Backbone, Recipe
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.suites.spec import Suite
from mtl_lora.errors import InvalidInput

RECIPE = ("epochs", "batch_size", "learning_rate", "warmup", "weight_decay", "scaling", "dropout", "sampling", "temperature")
TUNED_SEEDS, REDUCED_SEEDS = "0,1,2,3,4", "0,1,2"
TUNING_SEEDS, HALVING_SEEDS = "100,101", "100,101,102,103"
WRITTEN_TOKENS = 128  # of an answer in words, unless --answer says otherwise
Settings = TypeVar("Settings", Recipe, Backbone)


def studies(options: StudyOptions, weights: bool = True) -> list[Study]:
    """What the options ask for: a study for each conflict, one where the data knows none; or that of a recorded run.

    Args:
        options: Those of the command line.
        weights: Those of the backbone must be there; a plan needs none.

    Raises:
        InvalidInput: Options are wrong or contradict each other.
    """
    load_plugins(options.plugin)
    if options.record is not None:
        return [recorded_study(options.record, options)]
    if options.suite is None:
        raise InvalidInput("give the name of a suite, see `mtl-lora list`, or with --from the record of a run")
    _refuse_contradictions(options)
    suite, source = find_suite(options.suite), Source(options.mirror, options.features)
    preset = find_preset(_given(options.preset, suite.preset), suite.pictures)
    backbone, architecture = _backbone(options, preset, source)
    protocol = options.protocol
    tuned = protocol == "tuned"
    seeds = REDUCED_SEEDS if options.reduced else TUNED_SEEDS if tuned else "0"
    mode = default_answer_mode(suite, backbone, protocol)
    if preset.answering and type(preferred := read_answer_mode(preset.answering)) in answer_modes_for(suite):
        mode = preferred
    if isinstance(mode, VisionLanguage) and options.backbone is not None:
        mode = dataclasses.replace(mode, end=-1)  # the preset's is a token of the preset's backbone
    methods = _methods(options, preset)
    study = Study(
        suite=suite,
        task_names=parse_names(options.tasks),
        backbone=pin_backbone(backbone, source, weights),
        recipe=_replace(preset.recipe, {name: getattr(options, name) for name in RECIPE}),
        precision=_given(options.precision, preset.precision),
        budgets=parse_names(options.budget) or [preset.budget],
        methods=methods,
        seeds=parse_seeds(_given(options.seeds, seeds)),
        source=source,
        mode=mode if options.answer is None else parse_answer_mode(options.answer, mode),
        protocol=REDUCED if options.reduced else HALVED if options.trials_budget is not None else protocol,
        split=options.split,
        max_train=options.max_train,
        max_eval=options.max_eval,
        rank=options.rank,
        tuning=_tuning(options, preset, methods) if tuned else None,
        architecture=architecture,
    )
    if isinstance(study.mode, VisionLanguage):
        study = dataclasses.replace(study, mode=pin_vision(study.mode, source, study.backbone))
    if isinstance(study.mode, TextMode) and options.backbone is not None:
        encoder_decoder = source.config(backbone.id, backbone.revision).is_encoder_decoder
        study = dataclasses.replace(study, mode=dataclasses.replace(study.mode, encoder_decoder=encoder_decoder))
    if options.conflict is None:
        return [study]
    return [dataclasses.replace(study, suite=suite.with_conflict(value)) for value in parse_conflicts(options.conflict)]


def _refuse_contradictions(options: StudyOptions) -> None:
    tuned = options.protocol == "tuned"
    for given, wrong, why in (
        (
            options.budget,
            options.protocol == "paper",
            "protocol paper has the released rank: --budget goes with other protocols",
        ),
        (
            options.rank,
            options.protocol == "paper",
            "protocol paper has the released rank: --rank goes with other protocols",
        ),
        (options.rank, options.budget is not None, "--rank and --budget are two ways to size methods: give one of them"),
        (options.reduced, not tuned, "--reduced goes with protocol tuned"),
        (options.rates, not tuned, "--rates goes with protocol tuned"),
        (options.tuning_seeds, not tuned, "--tuning-seeds goes with protocol tuned"),
        (options.knob or None, not tuned, "--knob goes with protocol tuned"),
        (options.trials_budget, not tuned, "--trials-budget goes with protocol tuned"),
        (options.trials_budget, options.reduced, "--reduced and --trials-budget are two ways to try less: give one of them"),
        (options.learning_rate, tuned, "protocol tuned chooses the learning rate of each method: --rates says among which"),
        (options.split != "test", tuned, "protocol tuned scores trials on dev and reports on test: it goes without --split"),
    ):
        if given not in (None, False) and wrong:
            raise InvalidInput(why)


def _methods(options: StudyOptions, preset: Preset) -> list[MethodChoice]:
    """Those asked for, or the preset's, of which any may be left out."""
    if options.methods is not None:
        return with_knobs(parse_methods(options.methods), options.knob or ())
    choices = parse_methods({"paper": "all", "tuned": f"{preset.methods},{LARGER}"}.get(options.protocol, preset.methods))
    return with_knobs([dataclasses.replace(choice, named=False) for choice in choices], options.knob or ())


def _tuning(options: StudyOptions, preset: Preset, methods: Sequence[MethodChoice]) -> Tuning:
    """What is tried; with --reduced every second rate, with --trials-budget by halving."""
    stride = 2 if options.reduced else 1
    rates = parse_rates(options.rates) if options.rates is not None else window(*preset.rates)[::stride]
    values = len(methods[0].knob.values) if methods[0].knob else 1  # all have as many
    seeds = _given(options.tuning_seeds, TUNING_SEEDS if options.trials_budget is None else HALVING_SEEDS)
    return Tuning(tuple(rates), tuple(parse_seeds(seeds)), stride, values=values, budget=options.trials_budget)


def default_answer_mode(suite: Suite, backbone: Backbone, protocol: str) -> AnswerMode:
    """Heads for classes and grades, pairs of texts read as suits the suite where the backbone is an encoder; for multiple
    choice an encoder as bi-encoder, generated text with a language model, as for answers in words."""
    if suite.written:
        return Generation(new_tokens=WRITTEN_TOKENS)
    if not suite.choice:
        return Heads(suite.texts) if backbone.pooling == "mean" else Heads()
    if backbone.pooling == "mean":
        return BiEncoder()
    return Generation(prompt="released" if protocol == "paper" else "same")


def pin_backbone(backbone: Backbone, source: Source, weights: bool = True) -> Backbone:
    """The backbone with what its weights are, and a revision: where none is given, the hub's commit of now, or the hash of a
    folder's weights.

    Weights that were converted from others are not those that a preset pins, and their revision says so. Without weights
    (which then need not be there) a folder has no revision, so that no finished run is known as one of it.
    """
    if not (weights or source.on_hub(backbone.id) or source.has_weights(backbone.id, None)):
        return backbone
    revision = source.converted_from(backbone.id) or backbone.revision or source.revision(backbone.id)
    return dataclasses.replace(backbone, revision=revision, weights=source.known_identity(backbone.id, revision))


def pin_vision(mode: VisionLanguage, source: Source, backbone: Backbone) -> VisionLanguage:
    """The mode with the revision and the width of its vision model, and the end of answers, where they are not given."""
    config = source.config(mode.vision, mode.vision_revision or None)
    width = getattr(getattr(config, "vision_config", config), "hidden_size", mode.vision_width)
    if not width:
        raise InvalidInput(f"{mode.vision} does not say how wide its features are: give vision_width=")
    if mode.vision_width not in (0, width):
        raise InvalidInput(f"features of {mode.vision} have width {width}, not vision_width={mode.vision_width}")
    end = source.tokenizer(backbone.id, backbone.revision).eos_token_id if mode.end == -1 else mode.end
    if end is None:
        raise InvalidInput(f"the tokenizer of {backbone.id} has no token that ends a text: give end=")
    words = source.config(backbone.id, backbone.revision).get_text_config().vocab_size
    if not 0 <= end < words:
        raise InvalidInput(f"end must be one of the {words} tokens of {backbone.id}, from 0 on, or -1: not {end}")
    revision = mode.vision_revision or source.revision(mode.vision)
    return dataclasses.replace(mode, vision_revision=revision, vision_width=width, end=end)


def _backbone(options: StudyOptions, preset: Preset, source: Source) -> tuple[Backbone, str | None]:
    """The preset's, or another, with what the options change. What is not given of another goes by its architecture, which
    is then named."""
    changed = {
        "pooling": options.pooling,
        "max_length": options.max_length,
        "targets": tuple(parse_names(options.targets)) or None,
        "quantise": options.quantise,
    }
    if options.backbone is None:
        return _replace(preset.backbone, changed), None
    other = dataclasses.replace(preset.backbone, id=options.backbone, revision=None)
    if options.pooling and options.targets:
        return _replace(other, changed), None
    model = source.skeleton(other.id, other.revision)
    other = dataclasses.replace(other, pooling=pooling_of(model), targets=targets_of(model, other))
    return _replace(other, changed), type(model).__name__


def _given(option: str | None, default: str) -> str:
    return default if option is None else option


def _replace(preset: Settings, changed: Mapping[str, Any]) -> Settings:
    return dataclasses.replace(preset, **{name: value for name, value in changed.items() if value is not None})

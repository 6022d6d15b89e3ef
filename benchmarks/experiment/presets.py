"""Presets: backbone, size and one training recipe for all methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from benchmarks.records.recipe import Backbone, Recipe
from mtl_lora.errors import unknown


@dataclass(frozen=True)
class Preset:
    """What ``--preset`` names; every part of it can be changed by an option of its own.

    rates: the lowest and the highest learning rate that protocol tuned tries.
    answering: the answer mode as records name it, for suites that it fits and where suite and backbone do not say it all.
    """

    name: str
    summary: str
    backbone: Backbone
    budget: str
    precision: str
    recipe: Recipe = field(repr=False)
    rates: tuple[float, float]
    methods: str = "all,references"
    answering: Mapping[str, Any] | None = None


ENCODER = partial(Backbone, pooling="mean", targets=("query", "key", "value", "dense"))
LLAMA = partial(Backbone, pooling="last", targets=("q_proj", "k_proj", "v_proj", "o_proj"))

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="embedded",
            summary="the generated world's own encoder (0.6M parameters): minutes on a CPU, no download",
            backbone=ENCODER(
                id="world-encoder",
                revision="sha256:2f176bbc702bf285cec450fb80ae9df503512e96770b034b4d3ec39d3a0f2f69",
                max_length=64,
            ),
            budget="93k",
            precision="float32",
            recipe=Recipe(epochs=6, batch_size=32, learning_rate=2e-3),
            rates=(3.6e-4, 1.1e-2),
            # Eight experts of the smallest rank, and as wide a task embedding as usual, would exceed this model's budgets.
            methods="lora,dora,multilora,moelora:experts=4:embedding=8,mtl-lora,references",
        ),
        Preset(
            name="small",
            summary="all-MiniLM-L6-v2 (22.6M parameters): minutes to hours on a CPU or one GPU",
            backbone=ENCODER(
                id="sentence-transformers/all-MiniLM-L6-v2",
                revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
                max_length=128,
            ),
            budget="3%",
            precision="bfloat16",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=5e-4),
            rates=(1.1e-4, 6.3e-3),
        ),
        Preset(
            name="smollm2",
            summary="SmolLM2-135M-Instruct, a LLaMA-architecture language model: hours on a CPU or minutes on one GPU",
            backbone=LLAMA(
                id="HuggingFaceTB/SmolLM2-135M-Instruct",
                revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
                max_length=256,
            ),
            budget="1.1M",
            precision="bfloat16",
            recipe=Recipe(epochs=1, batch_size=16, learning_rate=1e-3),
            rates=(1.1e-4, 6.3e-3),
            answering={"way": "cloze"},
        ),
        Preset(
            name="paper",
            summary="LLaMA2-7B, as in the paper's commonsense runs: for a GPU machine with access to the model",
            backbone=LLAMA(
                id="meta-llama/Llama-2-7b-hf",
                revision=None,
                max_length=256,
            ),
            budget="0.25%",
            precision="bfloat16",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=3e-4, warmup=0.01, dropout=0.05),
            rates=(3.6e-5, 2e-3),
        ),
    )
}


PRESETS["paper-llama3"] = replace(
    PRESETS["paper"],
    name="paper-llama3",
    summary="LLaMA3-8B, with the settings of LLaMA2-7B",
    backbone=replace(PRESETS["paper"].backbone, id="meta-llama/Meta-Llama-3-8B"),
)


PICTURE_PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="small",
            summary="ViT-tiny and a language model of 3.1M parameters: minutes on a CPU",
            backbone=Backbone(
                id="tinystories/stories3m",
                revision="sha256:3dd5f8b7c1b884d96383d0a6725a2b355cd92b0710cd2981f3972ac38b1fe39e",
                pooling="last",
                max_length=128,
                targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
            ),
            budget="6.5%",
            precision="bfloat16",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=1e-3),
            rates=(2e-4, 1.1e-2),
            answering={
                "way": "vision-language",
                "vision": "WinKawaks/vit-tiny-patch16-224",
                "vision_revision": "sha256:e38e9a739c27dfdd9473fc1ee189c2c9ed4eb7ca2c0d07cf341f800b627bb9e8",
                "vision_width": 192,
                "grid": 6,
                "end": 1,  # <s>, by which its training set parts stories; it has never seen </s>
            },
        ),
        Preset(
            name="paper",
            summary="BART-base and CLIP RN101, as in the paper's image-text runs: for a GPU",
            backbone=Backbone(
                id="facebook/bart-base",
                revision=None,
                pooling="last",
                max_length=512,
                targets=("q_proj", "v_proj"),
            ),
            budget="5898528",  # of MTL-LoRA as its script has it: rank 64, two up-projections, four tasks
            precision="float32",
            recipe=Recipe(epochs=20, batch_size=512, learning_rate=1e-3, warmup=0.03, weight_decay=0.01, scaling=0.25),
            rates=(1.1e-4, 6.3e-3),
            methods="lora,dora,multilora,moelora,mtl-lora:up_projections=2:temperature=0.8,references",
            answering={
                "way": "vision-language",
                "vision": "timm/resnet101_clip.openai",
                "vision_width": 2048,
                "grid": 6,
                "trained": "projection-biases-norms",
            },
        ),
    )
}


def find_preset(name: str, pictures: bool = False) -> Preset:
    """The preset of that name, of those for suites on pictures if asked for, or InvalidInput that lists those there are."""
    presets = PICTURE_PRESETS if pictures else PRESETS
    if name not in presets:
        raise unknown("preset for pictures" if pictures else "preset", name, presets)
    return presets[name]

"""Presets: backbone, size and one training recipe for all methods."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mtl_lora.errors import InvalidInput, unknown

SAMPLING = ("proportional", "temperature")
POOLING = ("mean", "last")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How every method is trained: AdamW, linear decay after a warm-up, gradients clipped at norm 1.

    batch_size: samples a step over all devices. warmup: part of the steps. scaling: alpha / rank of every method.
    dropout: of the low-rank branches; the backbone keeps its own. sampling: "proportional" shuffles all rows,
    "temperature" draws tasks with probability size ** (1 / temperature).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.06
    weight_decay: float = 0.0
    scaling: float = 2.0
    dropout: float = 0.0
    sampling: str = "proportional"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLING:
            raise unknown("sampling", self.sampling, SAMPLING)
        for name in ("epochs", "batch_size", "learning_rate", "temperature"):
            if getattr(self, name) <= 0:
                raise InvalidInput(f"{name.replace('_', ' ')} must be above 0, not {getattr(self, name)}")
        if (self.sampling == "temperature") != (self.temperature > 1):
            raise InvalidInput(
                f"temperature sampling goes with a temperature above 1, not {self.sampling} with {self.temperature:g}"
            )


@dataclass(frozen=True)
class Backbone:
    """A pretrained model: hub id, pinned revision, and how a sentence vector is read from it.

    pooling: "mean" over tokens (encoders), or the "last" token (causal models).
    """

    id: str
    revision: str | None
    pooling: str
    max_length: int
    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pooling not in POOLING:
            raise unknown("pooling", self.pooling, POOLING)
        if self.max_length < 1:
            raise InvalidInput(f"max length must be at least 1 token, not {self.max_length}")


@dataclass(frozen=True)
class Preset:
    """What ``--preset`` names; every part of it can be changed by an option of its own."""

    name: str
    summary: str
    backbone: Backbone
    budget: str
    precision: str
    recipe: Recipe = field(repr=False)
    methods: str = "all,references"


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="embedded",
            summary="the generated world's own encoder (0.6M parameters): minutes on a CPU, no download",
            backbone=Backbone(
                id="world-encoder",
                revision="sha256:2f176bbc702bf285cec450fb80ae9df503512e96770b034b4d3ec39d3a0f2f69",
                pooling="mean",
                max_length=64,
                targets=("query", "key", "value", "dense"),
            ),
            budget="93k",
            precision="float32",
            recipe=Recipe(epochs=6, batch_size=32, learning_rate=2e-3),
            # Eight experts of the smallest rank, and as wide a task embedding as usual, would exceed this model's budgets.
            methods="lora,dora,multilora,moelora:experts=4:embedding=8,mtl-lora,references",
        ),
        Preset(
            name="small",
            summary="all-MiniLM-L6-v2 (22.6M parameters): minutes to hours on a CPU or one GPU",
            backbone=Backbone(
                id="sentence-transformers/all-MiniLM-L6-v2",
                revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
                pooling="mean",
                max_length=128,
                targets=("query", "key", "value", "dense"),
            ),
            budget="3%",
            precision="bfloat16",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=5e-4),
        ),
        Preset(
            name="paper",
            summary="LLaMA2-7B, as in the paper's commonsense runs: for a GPU machine with access to the model",
            backbone=Backbone(
                id="meta-llama/Llama-2-7b-hf",
                revision=None,
                pooling="last",
                max_length=256,
                targets=("q_proj", "k_proj", "v_proj", "o_proj"),
            ),
            budget="0.25%",
            precision="bfloat16",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=3e-4, warmup=0.01, dropout=0.05),
        ),
    )
}


PRESETS["paper-llama3"] = replace(
    PRESETS["paper"],
    name="paper-llama3",
    summary="LLaMA3-8B, with the settings of LLaMA2-7B",
    backbone=replace(PRESETS["paper"].backbone, id="meta-llama/Meta-Llama-3-8B"),
)


def find_preset(name: str) -> Preset:
    """The preset of that name, or InvalidInput that lists those there are."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]

"""Mixed batches in many architectures: each sample's output is what it is alone, or one line refuses."""

from __future__ import annotations

import pytest
import torch
from tiny_models import TASKS, randomise_adapters
from tiny_zoo import SAMPLES, ZOO, Tiny
from torch import Tensor

from mtl_lora import AdaptedModel, InvalidInput, MTLLoRA

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:all-linear leaves out")]

NOT_BY_SAMPLE = "{} is not given the rows of one sample after another, so one batch cannot mix tasks"
REFUSED = {  # with all-linear; the layer that cannot be adapted for a mixed batch
    "deberta-v3": NOT_BY_SAMPLE.format("encoder.layer.0.attention.self.query_proj"),  # called with relative positions, too
    "fsmt": NOT_BY_SAMPLE.format("model.encoder.layers.0.self_attn.k_proj"),
    "mamba": "the model reads the weight of backbone.layers.0.mixer.dt_proj and does not call it",
    "qwen2-vl": NOT_BY_SAMPLE.format(r"model.visual.blocks.0.attn.(qkv|proj)"),
    "switch": NOT_BY_SAMPLE.format(r"(en|de)coder.block.1.layer.\d.mlp.experts.expert_\d.w[io]"),
    "xlnet": NOT_BY_SAMPLE.format("layer.0.ff.layer_1"),
}
TARGETS = {  # what can be adapted there
    "deberta-v3": ["value_proj", "dense"],
    "mamba": ["in_proj", "x_proj", "out_proj"],
    "switch": ["q", "k", "v", "o"],
    "qwen2-vl": ["language_model.layers.0.self_attn.q_proj", "down_proj"],
}
IDS = torch.tensor([0, 1, 2, 0])


def adapted(tiny: Tiny, targets: list[str]) -> AdaptedModel:
    return randomise_adapters(AdaptedModel(tiny.build(), MTLLoRA(rank=4), TASKS, targets))


def own(output: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs that hold samples in their first dimension and compare none with another."""
    return {
        name: value
        for name, value in output.items()
        if isinstance(value, Tensor) and value.dim() and not name.startswith("logits_per_")
    }


@torch.no_grad()
def check_mixed_equals_alone(model: AdaptedModel, inputs: dict[str, Tensor]) -> None:
    mixed, other = own(model(**inputs, task_ids=IDS)), own(model(**inputs, task_ids=IDS.roll(1)))
    assert mixed
    for sample in range(SAMPLES):
        one = {name: value.chunk(SAMPLES)[sample] for name, value in inputs.items()}
        alone = own(model(**one, task_ids=IDS[sample : sample + 1]))
        for name, value in alone.items():
            torch.testing.assert_close(mixed[name][sample], value[0], rtol=1e-3, atol=1e-4, msg=name)
            assert not torch.allclose(other[name][sample], value[0], rtol=1e-3, atol=1e-4) or IDS[sample] == IDS[sample - 1]


@pytest.mark.parametrize("name", [name for name in ZOO if name not in REFUSED])
def test_a_mixed_batch_equals_each_sample_alone(name: str) -> None:
    check_mixed_equals_alone(adapted(ZOO[name], ["all-linear"]), ZOO[name].inputs())


@pytest.mark.parametrize("samples", [2, 3, 4])
@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_are_not_sample_after_sample_are_refused(name: str, samples: int) -> None:
    """Six tokens divide by two and by three samples."""
    inputs = {key: value[: len(value) * samples // SAMPLES] for key, value in ZOO[name].inputs().items()}
    with pytest.raises(InvalidInput, match=REFUSED[name]):
        adapted(ZOO[name], ["all-linear"])(**inputs, task_ids=IDS[:samples])


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "mamba"])
@torch.no_grad()
def test_there_a_batch_of_one_task_still_works(name: str) -> None:
    inputs = ZOO[name].inputs()
    output = adapted(ZOO[name], ["all-linear"])(**inputs, task_ids=[1] * SAMPLES)[0]
    merged = adapted(ZOO[name], ["all-linear"])
    merged.merge(TASKS[1])
    torch.testing.assert_close(output, merged(**inputs)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TARGETS)
def test_their_other_layers_take_mixed_batches(name: str) -> None:
    inputs, model = ZOO[name].inputs(), adapted(ZOO[name], TARGETS[name])
    if name == "qwen2-vl":  # whose images do not say which text is theirs: one batch of texts shows it first
        model(ZOO[name].inputs()["input_ids"].clamp_min(7), task_ids=IDS)
    check_mixed_equals_alone(model, inputs)


@pytest.mark.parametrize("name", ["llama", "opt", "t5", "bart", "whisper"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_model_that_has_only_generated_takes_mixed_batches(name: str, beams: int) -> None:
    inputs = {key: value for key, value in ZOO[name].inputs().items() if key != "decoder_input_ids"}
    model = adapted(ZOO[name], ["all-linear"])
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": beams, "do_sample": False}
    mixed = model.generate(**inputs, task_ids=IDS, **options)
    for sample, task in enumerate(IDS):
        one = {key: value[sample : sample + 1] for key, value in inputs.items()}
        assert torch.equal(mixed[sample], model.generate(**one, task_ids=task[None], **options)[0])


@pytest.mark.parametrize("name", ["mixtral", "deepseek-v3", "gpt-oss"])
def test_stacked_experts_that_all_linear_leaves_out_are_named(name: str) -> None:
    with pytest.warns(UserWarning, match=r"all-linear leaves out .*: model.layers.*.mlp.experts.down_proj, .*gate_up_proj"):
        AdaptedModel(ZOO[name].build(), MTLLoRA(rank=4), TASKS, ["all-linear"])

"""Pictures in front of a text: shapes, counts, routing and invariances, for every method on both kinds of language model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import TASKS, adapted_llama, randomise_adapters
from transformers import BartConfig, BartForConditionalGeneration

from baselines.dora import DoRA
from baselines.lora import LoRA
from baselines.references import HeadsOnly
from benchmarks.answering.image_embedding import PictureEmbedding
from benchmarks.answering.registry import read_answer_mode
from benchmarks.answering.vision_language import VisionLanguage, biases_and_norms
from benchmarks.answering.vision_language_model import VisionLanguageModel
from benchmarks.experiment.presets import find_preset
from benchmarks.suites import find_suite
from mtl_lora import AdaptedModel, Method, MTLLoRA, parse_budget, target_dims

MODE = VisionLanguage(vision_width=6, grid=2, end=2, new_tokens=5)
SUITE_TASKS = find_suite("image-text").tasks[:3]
BART_TARGETS = ["q_proj", "v_proj"]


def tiny_bart() -> BartForConditionalGeneration:
    torch.manual_seed(0)
    size = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    ffn = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 50, "d_model": 32, "max_position_embeddings": 64}
    config = BartConfig(**size, **ffn, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, forced_bos_token_id=0)
    return BartForConditionalGeneration(config).eval()


def model_of(method: Method, kind: str, mode: VisionLanguage = MODE, randomise: bool = True) -> VisionLanguageModel:
    if kind == "causal":
        backbone = adapted_llama(method, randomise=False)
    else:
        backbone = AdaptedModel(tiny_bart(), method, TASKS, BART_TARGETS)
    return mode.model(randomise_adapters(backbone) if randomise else backbone, SUITE_TASKS, "last", seed=0).eval()


def batch(samples: int = 4, answers: bool = True) -> dict[str, torch.Tensor]:
    """Samples of different lengths, the last with two pictures."""
    random = torch.Generator().manual_seed(3)
    lengths, written = torch.tensor([5, 3, 6, 4][:samples]), torch.tensor([2, 4, 1, 3][:samples])
    mask = (torch.arange(6) < lengths[:, None]).long()
    ids = torch.randint(3, 50, (samples, 6), generator=random) * mask
    shown = torch.tensor([[1, 0]] * (samples - 1) + [[1, 1]])
    features = torch.randn(samples, 2, 4, 6, generator=random) * shown[:, :, None, None]
    made = {"input_ids": ids, "attention_mask": mask, "features": features, "shown": shown}
    made["task_ids"] = torch.arange(samples) % 3
    if answers:
        labels = torch.randint(3, 50, (samples, 4), generator=random)
        made["labels"] = torch.where(torch.arange(4) < written[:, None], labels, -100)
    return made


def one(of: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """A sample alone, without the padding that others need."""
    own = {name: tensor[row : row + 1] for name, tensor in of.items()}
    length, pictures = int(own["attention_mask"].sum()), int(own["shown"].sum())
    own |= {name: own[name][:, :length] for name in ("input_ids", "attention_mask")}
    own |= {name: own[name][:, :pictures] for name in ("features", "shown")}
    if "labels" in own:
        own["labels"] = own["labels"][:, : int((own["labels"] != -100).sum())]
    return own


KINDS = pytest.mark.parametrize("kind", ["causal", "encoder-decoder"])


@KINDS
@torch.no_grad()
def test_adapted_at_start_is_the_base_with_its_pictures(method: Method, kind: str) -> None:
    base = model_of(HeadsOnly(), kind, randomise=False)
    assert model_of(method, kind, randomise=False)(**batch())["loss"] == pytest.approx(
        base(**batch())["loss"].item(), abs=1e-5
    )


@KINDS
@torch.no_grad()
def test_a_mixed_batch_is_its_samples_one_by_one(method: Method, kind: str) -> None:
    model, samples = model_of(method, kind), batch()
    alone = [model(**one(samples, row))["loss"] for row in range(4)]
    assert model(**samples)["loss"] == pytest.approx(torch.stack(alone).mean().item(), rel=1e-4)
    asked = batch(answers=False)
    together = model(**asked)["predictions"]
    assert together.shape == (4, MODE.new_tokens)
    for row in range(4):
        own = model(**one(asked, row))["predictions"][0]
        assert together[row].tolist() == own.tolist()


@KINDS
@torch.no_grad()
def test_generation_says_what_the_loss_calls_likeliest(kind: str) -> None:
    """Greedy tokens, scored one position at a time through the training pass."""
    model, asked = model_of(MTLLoRA(rank=4), kind), batch(answers=False)
    first = model(**asked)["predictions"][:, :1]
    losses = [
        [model(**one(asked, row) | {"labels": torch.tensor([[token]])})["loss"] for token in range(50)] for row in (3,)
    ]
    assert torch.tensor(losses).argmin(1).tolist() == first[3:, 0].tolist()


@KINDS
@torch.no_grad()
def test_pictures_tasks_and_order_matter_and_absent_pictures_do_not(kind: str) -> None:
    model, samples = model_of(MTLLoRA(rank=4), kind), batch()

    def loss(of: dict[str, torch.Tensor], **changed: torch.Tensor) -> float:
        return model(**of | changed)["loss"].item()

    plain, features, shown = loss(samples), samples["features"], samples["shown"][:, :, None, None]
    assert abs(loss(samples, features=features + shown) - plain) > 1e-5
    assert abs(loss(samples, features=features.flip(2)) - plain) > 1e-5  # the same parts elsewhere
    assert abs(loss(samples, task_ids=(samples["task_ids"] + 1) % 3) - plain) > 1e-5
    assert loss(samples, features=features + 7.0 * (1 - shown)) == pytest.approx(plain, rel=1e-6)
    two = one(samples, 3)
    assert abs(loss(two, features=two["features"].flip(1)) - loss(two)) > 1e-5


@KINDS
def test_trained_are_the_projection_and_the_adapters_and_on_request_biases_and_norms(kind: str) -> None:
    plain = model_of(LoRA(rank=4), kind)
    trained = {name for name, p in plain.named_parameters() if p.requires_grad}
    assert trained == {f"pictures.{n}" for n, _ in plain.pictures.named_parameters()} | {
        f"backbone.{n}" for n in plain.backbone.adapter_parameters()
    }
    more = model_of(LoRA(rank=4), kind, replace(MODE, trained="projection-biases-norms"))
    own = sum(p.numel() for p in biases_and_norms(more.backbone.base))
    parts, before = more.parameters_by_part(), plain.parameters_by_part()
    assert own > 0 and parts["trained"] == before["trained"] + own and parts["heads"] == before["heads"] + own
    assert parts["base"] + own == before["base"] and parts["adapter"] == before["adapter"]
    more(**batch())["loss"].backward()
    # The second picture's projection sees a gradient; a bias of keys has none in theory, as softmax does not see it.
    assert all(p.grad is not None for p in more.parameters() if p.requires_grad)
    trained = {n for n, p in more.named_parameters() if p.requires_grad} | {"pictures.mean", "pictures.deviation"}
    assert more.head(SUITE_TASKS[0]).keys() == trained - {f"backbone.{n}" for n in more.backbone.adapter_parameters()}


def test_the_start_is_fixed_by_the_seed() -> None:
    first, again = (PictureEmbedding(6, 2, 32, seed=1) for _ in range(2))
    other = PictureEmbedding(6, 2, 32, seed=2)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same) and not torch.equal(first.content.weight, other.content.weight)
    assert sum(p.numel() for p in first.parameters()) == PictureEmbedding.count(6, 32)
    assert first.boxes[1].tolist() == [0.5, 0.0, 1.0, 0.5, 0.25]  # the part at the top right


def test_the_papers_parameter_counts_on_a_meta_device_bart_base() -> None:
    """VL-BART with 36 adapted layers of 768 x 768; counts and percentages of facts known of the released code."""
    preset = find_preset("paper", pictures=True)
    mode = read_answer_mode(preset.answering)
    config = BartConfig(d_model=768, vocab_size=50265, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=3072)
    config.update({"decoder_ffn_dim": 3072, "encoder_attention_heads": 12, "decoder_attention_heads": 12})
    tasks = ["vqav2", "gqa", "nlvr2", "coco"]
    ours = MTLLoRA(rank=64, alpha=16, up_projections=2, temperature=0.8)
    expected = {
        LoRA(rank=128): (8_811_264, 5.944),
        DoRA(rank=128): (8_838_912, 5.962),
        ours: (7_631_904, 5.190),
    }
    for method, (trained, percent) in expected.items():
        with torch.device("meta"):
            base = BartForConditionalGeneration(config)
            of_base = sum(p.numel() for p in base.parameters())
            heads = mode.head_parameters((), base)
            adapted = AdaptedModel(base, method, tasks, preset.backbone.targets)
            model = mode.model(adapted, find_suite("image-text-hub").tasks, "last", seed=0)
        parts = model.parameters_by_part()
        assert len(list(adapted.layers())) == 36 and of_base == 139_420_416
        assert parts["heads"] == heads == 1_582_848 + 125_952 + 24_576
        assert parts["trained"] == trained
        # VL-T5's code adds 200 tokens for places of objects to the vocabulary, which are not needed here.
        whole = sum(p.numel() for p in model.parameters()) + 200 * 768
        assert 100 * trained / whole == pytest.approx(percent, abs=5e-4)
    with torch.device("meta"):
        dims = target_dims(BartForConditionalGeneration(config), preset.backbone.targets)
    assert parse_budget(preset.budget, 139_420_416) == ours.count(dims, 4) == 5_898_528

"""Encoder-decoders that answer in text: the prompt to the encoder, the answer to the decoder, transformers' numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness import assert_scores_are_those_of_the_harness
from tiny_cli import mtl_lora
from tiny_mirror import TEST_ROWS, make_t5
from tiny_models import TASKS, randomise_adapters
from tiny_zoo import ZOO
from torch import Tensor, nn
from transformers import GenerationConfig

from baselines.lora import LoRA
from benchmarks.answering.cloze import Cloze
from benchmarks.answering.language_model import LanguageModel
from benchmarks.answering.log_likelihood import score_continuations
from benchmarks.answering.responses import Generation, Likelihood
from benchmarks.data.splits import load_task
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from mtl_lora import AdaptedModel, InvalidInput, Method

TARGETS = {"t5": ["q", "k", "v", "o"], "bart": ["q_proj", "k_proj", "v_proj", "out_proj"]}
KINDS = pytest.mark.parametrize("kind", TARGETS)
PROMPTS = [[11, 12, 13, 14, 2], [21, 22, 2], [31, 2], [41, 42, 43, 2]]
ANSWERS = [[[5, 6], [7]], [[8, 9, 10], [9, 10], [3, 4]], [[6], [6, 7, 8, 9]], [[5, 5], [12]]]
IDS = torch.tensor([0, 1, 2, 0])


def model_of(kind: str, method: Method, new_tokens: int = 0) -> LanguageModel:
    base = ZOO[kind].build()
    start = base.config.decoder_start_token_id
    base.generation_config = GenerationConfig(eos_token_id=7, pad_token_id=0, decoder_start_token_id=start)
    with torch.no_grad():
        base.get_output_embeddings().weight.normal_()  # the words of a random model are too alike to be told apart
    backbone = randomise_adapters(AdaptedModel(base, method, TASKS, TARGETS[kind]))
    return LanguageModel(backbone, (), new_tokens).eval()


def padded(rows: list[list[int]], filler: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=filler)


def prompts() -> dict[str, Tensor]:
    mask = padded([[1] * len(prompt) for prompt in PROMPTS], 0)
    return {"input_ids": padded(PROMPTS, 9), "attention_mask": mask, "task_ids": IDS}


def losses(backbone: AdaptedModel) -> list[Tensor]:
    """transformers' own mean loss of every answer, each alone."""
    return [
        backbone(input_ids=torch.tensor([prompt]), labels=torch.tensor([answer]), task_ids=[task]).loss
        for prompt, own, task in zip(PROMPTS, ANSWERS, IDS.tolist(), strict=True)
        for answer in own
    ]


@KINDS
@torch.no_grad()
def test_log_likelihoods_and_losses_of_mixed_tasks_are_those_of_transformers(kind: str, method: Method) -> None:
    model, every = model_of(kind, method), [answer for own in ANSWERS for answer in own]
    each, options = losses(model.backbone), torch.tensor([len(own) for own in ANSWERS])
    texts = {"continuations": padded(every, 9), "scored": padded([[1] * len(a) for a in every], 0), "options": options}
    scores = score_continuations(model.backbone, **prompts(), **texts)
    expected = torch.stack([-loss * len(answer) for loss, answer in zip(each, every, strict=True)])
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    first = (options.cumsum(0) - options).tolist()
    learnt = model(**prompts(), labels=padded([own[0] for own in ANSWERS], -100))["loss"]
    torch.testing.assert_close(learnt, torch.stack([each[place] for place in first]).mean(), rtol=1e-5, atol=1e-5)
    best = model(**prompts(), **texts)["predictions"]
    assert best.tolist() == [own.argmax() for own in expected.split(options.tolist())]


@KINDS
def test_a_plain_model_with_the_task_merged_in_has_the_same_numbers(kind: str) -> None:
    """And writes the same words."""
    model = model_of(kind, LoRA(rank=4), new_tokens=5)
    written = model(**prompts())["predictions"]
    for task in range(len(TASKS)):
        own = model_of(kind, LoRA(rank=4))
        expected = losses(own.backbone)
        plain = own.backbone.unload(TASKS[task])
        for row in (IDS == task).nonzero()[:, 0].tolist():
            ids = torch.tensor([PROMPTS[row]])
            place = sum(map(len, ANSWERS[:row]))
            loss = plain(input_ids=ids, labels=torch.tensor([ANSWERS[row][0]])).loss
            torch.testing.assert_close(loss, expected[place], rtol=1e-5, atol=1e-5)
            alone = plain.generate(input_ids=ids, max_new_tokens=5, do_sample=False)[0, 1:].tolist()
            assert written[row].tolist() == alone + [0] * (5 - len(alone))


def test_the_encoder_reads_a_prompt_once_for_all_its_options() -> None:
    model, read = model_of("t5", LoRA(rank=4)), []
    model.backbone.base.encoder.register_forward_pre_hook(lambda *a: read.append(a[2]["input_ids"].shape), with_kwargs=True)
    ids = torch.tensor([[11, 12, 2]])
    texts = {"continuations": torch.tensor([[5, 6], [7, 8], [9, 3]]), "scored": torch.ones(3, 2, dtype=torch.long)}
    model(ids, torch.ones_like(ids), torch.tensor([1]), **texts, options=torch.tensor([3]))
    assert read == [(1, 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 that knows the words of the tiny data sets."""
    return make_t5(tmp_path_factory.mktemp("t5"))


FAST = ["--rank", "4", "--batch-size", "16", "--learning-rate", "0.01", "--precision", "float32", "--max-length", "64"]


@pytest.mark.parametrize("answer", ["", "likelihood", "cloze"])
def test_a_run_learns_and_its_task_answers_and_is_a_plain_model(
    answer: str, folder: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    options = [*FAST, "--mirror", tiny, "--backbone", folder, "--results", tmp_path, "--methods", "mtl-lora"]
    options += ["--answer", answer] if answer else []
    assert mtl_lora("run", "commonsense", *options, "--tasks", "siqa,arc-e", "--epochs", "2") == 0
    (record,) = RunStore(tmp_path).finished()
    name = answer or "generation"
    read = f"pooling last, targets q,k,v,o, answer mode {name} (prompts to the encoder, answers to the decoder)"
    assert f"by its architecture, T5Model: {read}" in capfd.readouterr().out
    assert (record.config.answering["way"], record.config.answering["encoder_decoder"]) == (name, True)
    assert record.training.loss[-1] < 0.9 * record.training.loss[0]
    assert all(score.rows == TEST_ROWS for score in record.scores.values())
    asked = tmp_path / "asked.txt"
    asked.write_text("choose: w1 good Answer1: w2 good Answer2: w3 bad Answer format: answer1/answer2\n")
    common = ["--task", "siqa", "--results", tmp_path, "--mirror", tiny]
    assert mtl_lora("predict", record.id, asked, *common) == 0
    assert capfd.readouterr().out.strip() in ("answer1", "answer2", "answer3", "no answer")
    if answer == "likelihood":
        assert mtl_lora("merge", record.id, *common, "--to", tmp_path / "plain") == 0
        assert "T5ForConditionalGeneration.from_pretrained" in (tmp_path / "plain" / "README.md").read_text()


def test_prompt_and_answer_are_read_apart(folder: Path, tiny: Path) -> None:
    tokenizer, source = Source().tokenizer(str(folder), None), Source(tiny)
    (task,) = find_suite("commonsense").select(["piqa"])
    rows = load_task(task, source, "test", 4, 4)
    for mode in (Generation(encoder_decoder=True), Cloze(encoder_decoder=True)):
        (learnt,) = mode.tokens(rows.train.take(1), task, tokenizer, 20, training=True)
        read = tokenizer.decode(learnt["input_ids"])
        assert len(learnt["input_ids"]) == learnt["length"] <= 20 and read.endswith("[SEP]")
        assert (learnt["labels"][-1] == tokenizer.eos_token_id) == isinstance(mode, Generation)
    (scored,) = Likelihood(encoder_decoder=True).tokens(rows.test.take(1), task, tokenizer, 20, training=False)
    assert scored["input_ids"][-1] == tokenizer.eos_token_id and scored["responses"][0][-1] == tokenizer.eos_token_id


REFUSED = {
    ("nlu",): "heads needs an encoder or a causal language model: {} is an encoder-decoder",
    ("commonsense", "--answer", "bi-encoder"): "bi-encoder needs a",
    ("commonsense", "--answer", "cloze"): "cloze reads on behind the blank of winogrande, which causal models do",
    ("commonsense", "--answer", "generation:loss=all"): "loss=all and prompt=released are of causal models",
    ("commonsense", "--protocol", "paper"): "loss=all and prompt=released are of causal models",
    ("commonsense", "--answer", "cloze:encoder_decoder=true"): "unknown setting of cloze 'encoder_decoder'",
}


@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_what_makes_no_sense_is_one_line(
    command: tuple[str, ...], folder: Path, tiny: Path, capfd: pytest.CaptureFixture
) -> None:
    model = ["--mirror", tiny, "--backbone", folder, "--max-length", "64"]
    assert mtl_lora("plan", *command, *model) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert REFUSED[command].format(folder) in line


def test_a_model_that_does_not_say_how_answers_begin(folder: Path, tiny: Path, tmp_path: Path) -> None:
    model = ZOO["t5"].model(ZOO["t5"].config(**{**ZOO["t5"].size, "vocab_size": 80}))
    model.config.decoder_start_token_id = None
    model.save_pretrained(tmp_path)
    Source().tokenizer(str(folder), None).save_pretrained(tmp_path)
    from benchmarks.experiment.resolve import studies
    from benchmarks.experiment.study_options import StudyOptions

    (study,) = studies(StudyOptions(suite="commonsense", mirror=tiny, backbone=str(tmp_path), max_length=64))
    with pytest.raises(InvalidInput, match="no decoder_start_token_id"):
        study.runs()


@pytest.mark.slow
def test_cloze_has_the_log_likelihoods_of_lm_evaluation_harness(folder: Path, tiny: Path) -> None:
    source, tasks = Source(tiny), find_suite("commonsense").select(["boolq", "piqa", "obqa"])
    base = source.model(str(folder), None, torch.float32, language=True).eval()
    data = [load_task(task, source, "test", 1, 6) for task in tasks]
    mode, tokenizer = Cloze(norm="none", encoder_decoder=True), source.tokenizer(str(folder), None)
    assert_scores_are_those_of_the_harness(base, tokenizer, mode, data, TARGETS["t5"], 512)

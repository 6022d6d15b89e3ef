"""Options scored by their own text: the wording of each task, and numbers against lm-evaluation-harness and a plain loop."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from harness import assert_scores_are_those_of_the_harness
from tiny_cli import mtl_lora
from tiny_mirror import CAUSAL, TEST_ROWS
from tiny_models import LLAMA_TARGETS, TASKS, randomise_adapters, tiny_llama
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    GPTNeoXConfig,
    MambaConfig,
    OPTConfig,
)

from baselines.lora import LoRA
from benchmarks.answering.cloze import Cloze, encode_pair, pairs
from benchmarks.answering.log_likelihood import answer_loss, logits_at, score_continuations
from benchmarks.answering.responses import LanguageModel
from benchmarks.data.splits import load_task
from benchmarks.records.store import RunStore
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode
from mtl_lora import AdaptedModel, InvalidInput, Method

SUITE = find_suite("commonsense")
BOOLQ, WINOGRANDE, PIQA, OBQA = (SUITE.select([name])[0] for name in ("boolq", "winogrande", "piqa", "obqa"))
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_wording_of_a_task_is_that_of_lm_evaluation_harness() -> None:
    row = {"question": "is it so?", "options": ["true", "false"]}
    assert pairs(BOOLQ, row) == [("Question: is it so?\nAnswer:", " yes"), ("Question: is it so?\nAnswer:", " no")]
    row = {"question": "Ann met Bea, and _ was glad.", "options": ["Ann", "Bea"]}
    assert pairs(WINOGRANDE, row) == [("Ann met Bea, and Ann", " was glad."), ("Ann met Bea, and Bea", " was glad.")]
    row = {"question": "stars are", "options": ["hot", "cold"]}
    assert pairs(OBQA, row) == [("stars are", " hot"), ("stars are", " cold")]
    assert pairs(PIQA, row)[1] == ("Question: stars are\nAnswer:", " cold")
    for question in ("no blank", "it is _"):
        with pytest.raises(InvalidInput, match=f"task winogrande: '{question}' has no blank '_' with text behind it"):
            pairs(WINOGRANDE, {"question": question, "options": ["a", "b"]})
    with pytest.raises(InvalidInput, match="unknown norm 'words'; known: characters, tokens, none"):
        Cloze(norm="words")


def sequences(seed: int = 0, prompts: int = 6) -> tuple[list[list[int]], list[list[list[int]]], list[list[int]]]:
    """Prompts, two to four continuations of each, and how many tokens at their ends are scored."""
    random = torch.Generator().manual_seed(seed)

    def draw(most: int) -> int:
        return int(torch.randint(1, most, (1,), generator=random))

    def words(count: int) -> list[int]:
        return torch.randint(3, 50, (count,), generator=random).tolist()

    starts = [words(draw(9)) for _ in range(prompts)]
    texts = [[words(draw(6)) for _ in range(1 + draw(4))] for _ in starts]
    return starts, texts, [[draw(len(text) + 1) for text in own] for own in texts]


def batch(starts: list[list[int]], texts: list[list[list[int]]], scored: list[list[int]]) -> dict[str, torch.Tensor]:
    """What :func:`score_continuations` reads, filled up with a token that a wrong mask would show."""
    rows = [text for own in texts for text in own]
    counts = [count for own in scored for count in own]
    width, longest = max(map(len, starts)), max(map(len, rows))
    return {
        "input_ids": torch.tensor([[7] * (width - len(s)) + s for s in starts]),
        "attention_mask": torch.tensor([[0] * (width - len(s)) + [1] * len(s) for s in starts]),
        "task_ids": torch.arange(len(starts)) % len(TASKS),
        "options": torch.tensor([len(own) for own in texts]),
        "continuations": torch.tensor([text + [9] * (longest - len(text)) for text in rows]),
        "scored": torch.tensor(
            [[0] * (len(t) - n) + [1] * n + [0] * (longest - len(t)) for t, n in zip(rows, counts, strict=True)]
        ),
    }


@torch.no_grad()
def loop(model: AdaptedModel, starts: list, texts: list, scored: list) -> torch.Tensor:
    """Every option alone, read from its first token to its last, with logits of every place."""
    scores = []
    for sample, start in enumerate(starts):
        for text, count in zip(texts[sample], scored[sample], strict=True):
            ids = torch.tensor([start + text])
            logits = model(ids, task_ids=[sample % len(TASKS)]).logits[0, :-1].log_softmax(-1)
            scores.append(logits.gather(1, ids[0, 1:, None])[-count:].sum())
    return torch.stack(scores)


@pytest.mark.parametrize("targets", [LLAMA_TARGETS, ["q_proj", "down_proj", "lm_head"]], ids=["attention", "with the head"])
@torch.no_grad()
def test_scores_of_mixed_tasks_equal_a_loop_over_options(method: Method, targets: list[str]) -> None:
    model = randomise_adapters(AdaptedModel(tiny_llama(), method, TASKS, targets))
    rows = sequences(prompts=40)  # more than are read together
    torch.testing.assert_close(score_continuations(model, **batch(*rows)), loop(model, *rows), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_options_of_a_single_token_are_scored_too() -> None:
    model = randomise_adapters(AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, LLAMA_TARGETS))
    rows = [[5, 6], [7]], [[[3], [4]], [[8], [9], [3]]], [[1, 1], [1, 1, 1]]
    torch.testing.assert_close(score_continuations(model, **batch(*rows)), loop(model, *rows), rtol=1e-5, atol=1e-5)


SIZE = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "intermediate_size": 48}
FAMILIES = {
    "neox": (GPTNeoXConfig(**SIZE, **HEADS), ["query_key_value"]),
    "opt": (OPTConfig(**SIZE, num_attention_heads=4, ffn_dim=48, word_embed_proj_dim=32), ["q_proj"]),
    "bloom": (BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4), ["query_key_value"]),
    "gemma3": (Gemma3TextConfig(**SIZE, **HEADS, head_dim=8, sliding_window=3), ["q_proj"]),
    "mamba": (MambaConfig(**SIZE), ["x_proj"]),
}


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_family_of_models_scores_as_in_a_loop(family: str) -> None:
    """With positions told or not, windows shorter than the prompt, and a state instead of a cache."""
    torch.manual_seed(0)
    config, targets = FAMILIES[family]
    model = randomise_adapters(AdaptedModel(AutoModelForCausalLM.from_config(config).eval(), LoRA(rank=4), TASKS, targets))
    rows = sequences()
    torch.testing.assert_close(score_continuations(model, **batch(*rows)), loop(model, *rows), rtol=1e-4, atol=1e-4)


def test_losses_and_gradients_equal_those_of_all_logits(method: Method) -> None:
    torch.manual_seed(0)
    ids, mask = torch.randint(3, 50, (6, 9)), (torch.arange(9) < torch.tensor([[9], [7], [9], [4], [8], [9]])).long()
    labels = torch.where((torch.rand(6, 9) < 0.4) & (mask == 1), ids, -100)
    labels[3] = -100  # a sample without any token to learn
    found = []
    for gathered in (True, False):
        model = randomise_adapters(AdaptedModel(tiny_llama(), method, TASKS, LLAMA_TARGETS))
        inputs = {"input_ids": ids, "attention_mask": mask, "task_ids": torch.arange(6) % 3}
        if gathered:
            loss = answer_loss(model, F.pad(labels[:, 1:], (0, 1), value=-100), **inputs)
        else:
            each = F.cross_entropy(model(**inputs).logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
            loss = (each.sum(1) / (labels[:, 1:] != -100).sum(1).clamp(min=1)).mean()
        loss.backward()
        found.append((loss, {name: p.grad for name, p in model.adapter_parameters().items()}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_the_output_layer_reads_what_is_asked_for_alone() -> None:
    model = AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, LLAMA_TARGETS)
    seen, read = [], []
    model.base.lm_head.register_forward_hook(lambda _, hidden, logits: seen.append(logits.shape))
    model.base.model.register_forward_pre_hook(lambda *a: read.append(a[2]["input_ids"].numel()), with_kwargs=True)
    places = torch.zeros(2, 5, dtype=torch.bool)
    places[0, 1] = places[1, 3] = places[1, 4] = True
    ids = torch.randint(3, 50, (2, 5), generator=torch.Generator().manual_seed(0))
    logits = logits_at(model, places, input_ids=ids, task_ids=[0, 1])
    torch.testing.assert_close(logits, model(ids, task_ids=[0, 1]).logits[places])
    assert seen[0] == (3, 50) and seen[1] == (2, 5, 50), "and afterwards all of it again"
    starts, texts, scored = [[5] * 8, [6] * 8], [[[3], [4]], [[3, 4, 5], [4, 5, 6], [5, 6, 7]]], [[1, 1], [3, 3, 3]]
    read.clear()
    score_continuations(model, **batch(starts, texts, scored))
    assert read == [2 * 8, 3 * 2], "each prompt once; of the options all but their last token, and none of a single one"


def test_generation_ends_when_every_row_has_ended() -> None:
    backbone = AdaptedModel(tiny_llama(), LoRA(rank=4), TASKS, LLAMA_TARGETS)
    backbone.base.generation_config.eos_token_id = backbone.base.generation_config.pad_token_id = 7
    model, steps = LanguageModel(backbone, (), new_tokens=20).eval(), []
    model.backbone.base.lm_head.register_forward_hook(lambda _, hidden, logits: steps.append(logits))

    def end(_: torch.nn.Module, hidden: object, logits: torch.Tensor) -> torch.Tensor:
        """The first row ends at the second word, the other at the fourth."""
        row = torch.full_like(logits, -1.0)
        row[..., 9] = 0.0
        row[0 : 1 if len(steps) < 4 else 2, ..., 7] = 1.0 if len(steps) >= 2 else -1.0
        return row

    model.backbone.base.lm_head.register_forward_hook(end)
    ids = torch.randint(8, 50, (2, 3), generator=torch.Generator().manual_seed(0))
    made = model(ids, torch.ones_like(ids), torch.tensor([0, 0]))["predictions"]
    assert len(steps) == 4
    assert made[:, :5].tolist() == [[9, 7, 7, 7, 7], [9, 9, 9, 7, 7]] and made.shape == (2, 20)


@pytest.mark.parametrize("norm", ["characters", "tokens", "none"])
@torch.no_grad()
def test_rows_of_every_task_are_scored_as_their_pairs_are(norm: str, tiny: Path) -> None:
    source, mode, tasks = Source(tiny), Cloze(norm=norm), SUITE.select(["boolq", "piqa", "obqa"])
    tokenizer = source.tokenizer(CAUSAL, None)
    data = [load_task(task, source, "test", 4, 4) for task in tasks]
    backbone = source.model(CAUSAL, None, torch.float32, language=True)
    backbone = randomise_adapters(AdaptedModel(backbone, LoRA(rank=4), [task.name for task in tasks], LLAMA_TARGETS))
    model = mode.model(backbone, tasks, "last", 0).eval()
    _, test = encode(data, tokenizer, mode, 200)
    predictions = model(**Collator(mode, tokenizer)(list(test)))["predictions"]
    raw = {(i, row["row"]): row for i, own in enumerate(data) for row in own.test}
    for place, row in enumerate(test):
        task, scores = row["task_ids"], []
        for context, text in pairs(tasks[task], raw[task, row["row"]]):
            start, answer = encode_pair(context, text, tokenizer)
            ids = torch.tensor([start + answer])
            logits = backbone(ids, task_ids=[task]).logits[0, :-1].log_softmax(-1)
            score = logits.gather(1, ids[0, 1:, None])[-len(answer) :].sum()
            scores.append(score / {"characters": len(text.strip()), "tokens": len(answer), "none": 1}[norm])
        assert predictions[place] == torch.stack(scores).argmax()


def test_what_is_too_long_loses_its_beginning(tiny: Path) -> None:
    tokenizer = Source(tiny).tokenizer(CAUSAL, None)
    options = ["good", "w1 w2 w3 good"]
    rows = Dataset.from_list([{"text": "", "question": "w9 " * 30, "options": options, "label": 1, "row": 0}])
    (train,) = Cloze().tokens(rows, PIQA, tokenizer, 10, training=True)
    assert len(train["input_ids"]) == train["length"] == 10
    assert tokenizer.decode(train["input_ids"]).split()[-4:] == options[1].split()
    assert [label != -100 for label in train["labels"]] == [False] * 6 + [True] * 4
    (scored,) = Cloze().tokens(rows, PIQA, tokenizer, 10, training=False)
    assert len(scored["input_ids"]) == 6 and scored["scored"] == [1, 4] and scored["lengths"] == [4, 13]
    filled = Dataset.from_list([{"text": "", "question": "_ is good", "options": ["w1", "w2"], "label": 1, "row": 0}])
    (scored,) = Cloze().tokens(filled, WINOGRANDE, tokenizer, 10, training=False)
    assert scored["input_ids"] == [tokenizer.eos_token_id], "options that begin a text have nothing in common"
    assert [len(text) for text in scored["responses"]] == [3, 3] and scored["scored"] == [2, 2]


FAST = ["--backbone", CAUSAL, "--pooling", "last", "--targets", "q_proj,k_proj,v_proj,o_proj,up_proj,down_proj"]
FAST += ["--budget", "16500", "--batch-size", "16", "--learning-rate", "0.01", "--answer", "cloze"]


def test_a_run_learns_which_text_is_right(tiny: Path, tmp_path: Path) -> None:
    options = [*FAST, "--mirror", tiny, "--results", tmp_path, "--tasks", "siqa,arc-e", "--precision", "float32"]
    assert mtl_lora("run", "commonsense", *options, "--epochs", "6", "--methods", "full,heads-only") == 0
    trained, untrained = sorted(RunStore(tmp_path).finished(), key=lambda record: record.config.method.name)
    assert trained.config.answering == {"way": "cloze", "norm": "characters"}
    assert trained.score > 0.9 > untrained.score + 0.2
    assert all(s.rows == TEST_ROWS and s.unanswered == 0 for s in trained.scores.values())


def test_a_plan_measures_what_scoring_takes(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for methods in ("lora", "heads-only"):  # the latter trains nothing here
        options = [*FAST, "--mirror", tiny, "--results", tmp_path, "--tasks", "siqa,winogrande", "--methods", methods]
        assert mtl_lora("plan", "commonsense", *options) == 0
        assert re.search(
            r"1 of 1 run to do, (about|less than a second).* \(a few steps measured now\)", capsys.readouterr().out
        )


@pytest.mark.parametrize(
    ("more", "tolerance"),
    [(["--gradient-checkpointing"], 1e-5), (["--accumulation", "4"], 1e-3), (["--precision", "bfloat16"], 3e-2)],
    ids=["checkpointing", "micro-batches", "bfloat16"],
)
def test_how_a_run_is_executed_changes_no_loss(more: list[str], tolerance: float, tiny: Path, tmp_path: Path) -> None:
    losses = []
    for name, options in (("plain", []), ("other", more)):
        common = [*FAST, "--mirror", tiny, "--results", tmp_path / name, "--tasks", "siqa,obqa", "--epochs", "1"]
        common += ["--methods", "mtl-lora", "--precision", "float32"]
        assert mtl_lora("run", "commonsense", *common, *options) == 0
        (record,) = RunStore(tmp_path / name).finished()
        losses.append(record.training.loss)
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


@pytest.mark.slow
def test_two_processes_train_and_score_as_one_does(tiny: Path, tmp_path: Path) -> None:
    common = [*FAST, "--mirror", tiny, "--tasks", "siqa,winogrande", "--epochs", "1", "--methods", "mtl-lora"]
    common += ["--precision", "float32"]
    assert mtl_lora("run", "commonsense", *common, "--results", tmp_path / "one") == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "benchmarks.cli"]
    command = [*launch, "run", "commonsense", *map(str, common), "--results", str(tmp_path / "two")]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    (one,), (two,) = (RunStore(tmp_path / name).finished() for name in ("one", "two"))
    assert one.id == two.id and (one.execution.devices, two.execution.devices) == (1, 2)
    assert two.training.loss == pytest.approx(one.training.loss, rel=1e-3)
    tables = [pd.read_parquet(tmp_path / name / "runs" / f"{one.id}.predictions.parquet") for name in ("one", "two")]
    assert (tables[0]["prediction"] == tables[1]["prediction"]).mean() > 0.9, "but for ties that rounding breaks"


ORACLES = [
    pytest.param("tinystories/stories260k", 6, id="stories260k"),
    pytest.param(SMOLLM2, 2, id="smollm2", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("backbone", "rows"), ORACLES)
def test_log_likelihoods_are_those_of_lm_evaluation_harness(backbone: str, rows: int, mirror: Path) -> None:
    """On rows of all eight tasks, whose options have from one token to sixty."""
    source = Source(mirror)
    if not (mirror / "models" / backbone).is_dir():
        pytest.skip(f"no {backbone} in the mirror (mtl-lora fetch)")
    data = [load_task(task, source, "test", 1, rows) for task in SUITE.tasks]
    base = source.model(backbone, None, torch.float32, language=True).eval()
    tokenizer = source.tokenizer(backbone, None)
    assert_scores_are_those_of_the_harness(base, tokenizer, Cloze(norm="none"), data, LLAMA_TARGETS, 2048)

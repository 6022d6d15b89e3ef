"""Multiple choice: instructions taken apart, and the three answer modes against a sample-by-sample account."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from tiny_mirror import CAUSAL, ENCODER, make_mirror
from tiny_models import LLAMA_TARGETS, randomise_adapters

from benchmarks.answering.base import AnswerMode
from benchmarks.answering.bi_encoder import BiEncoder
from benchmarks.answering.heads import Heads
from benchmarks.answering.prompts import MARKER, find_answer, prompt
from benchmarks.answering.registry import answer_modes_for, read_answer_mode, recorded_answer_mode
from benchmarks.answering.responses import Generation, Likelihood
from benchmarks.data.multiple_choice import read_choice
from benchmarks.data.splits import load_task
from benchmarks.experiment.parsing import parse_answer_mode
from benchmarks.sources import Source
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode
from mtl_lora import AdaptedModel, InvalidInput, MTLLoRA

SUITE = find_suite("commonsense")
TASKS = BOOLQ, PIQA, ARC = SUITE.select(["boolq", "piqa", "arc-e"])
ANSWERS = ["answer1", "answer2", "answer3", "answer4", "answer5"]


def instruction(question: str, *options: str, word: str = "Answer") -> str:
    listed = " ".join(f"{word}{i}: {option}" for i, option in enumerate(options, 1))
    names = "/".join(f"{word.lower()}{i}" for i in range(1, len(options) + 1))
    return f"Please choose the correct answer to the question: {question}\n\n{listed}\n\nAnswer format: {names}"


def test_an_instruction_taken_apart() -> None:
    text = instruction("What is it: a cat?", "a: cat", "dog", "Answer, none")
    assert read_choice(text, "answer3", ANSWERS) == ("What is it: a cat?", ["a: cat", "dog", "Answer, none"], 2)
    plain = "Please answer the following question with true or false, question: is it so?\n\nAnswer format: true/false"
    assert read_choice(plain, "false", ["true", "false"]) == ("is it so?", ["true", "false"], 1)


@pytest.mark.parametrize(
    ("text", "answer", "message"),
    [
        ("what?", "answer1", "no 'Answer format:'"),
        (instruction("what?", "a"), "answer1", "a single option"),
        (instruction("what?", "a", "b"), "answer3", "its answer 'answer3' is none of answer1/answer2"),
        (instruction("what?", "a", "b"), None, "its answer None is none of"),
        (instruction("what?", "a", "b").replace("Answer1: a", ""), "answer2", "option answer1 is not listed|no question"),
        (instruction("what?", "a", "b", word="Option"), "option1", "it offers option1/option2, not the first of answer1"),
        (instruction("", "a", "b"), "answer1", "it has no question"),
    ],
)
def test_a_malformed_instruction(text: str, answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_choice(text, answer, ANSWERS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(make_mirror(tmp_path_factory.mktemp("mirror")))


def test_a_row_that_is_wrong_is_named_with_its_file(source: Source, tmp_path: Path) -> None:
    task = BOOLQ
    folder = tmp_path / "datasets" / task.dataset / "dataset" / "boolq"
    folder.mkdir(parents=True)
    good = {"instruction": "say, question: so?\n\nAnswer format: true/false", "answer": "true"}
    (folder / "test.json").write_text(json.dumps([good] * 3))
    for rows, message in {
        json.dumps([good, good | {"answer": "maybe"}]): r"boolq/train.json, row 1: its answer 'maybe' is none of true/false",
        json.dumps([good, {"answer": "true"}]): r"boolq/train.json, row 1: instruction is None, not text",
        json.dumps([good | {"instruction": "x, question: y\n\nAnswer format: true"}]): "row 0: it offers a single option",
        "[]": "boolq/train.json is empty",
        "{not json": "boolq/train.json cannot be read: Expecting property name",
        json.dumps([{"question": "so?"}]): "boolq/train.json has no column 'instruction'; it has question",
    }.items():
        (folder / "train.json").write_text(rows)
        with pytest.raises(InvalidInput, match=message):
            load_task(task, Source(tmp_path), "test", None, None)
    (folder / "train.json").unlink()
    with pytest.raises(InvalidInput, match=r"lacks .*boolq/train.json, which task boolq needs"):
        load_task(task, Source(tmp_path), "test", None, None)


def tiny_model(source: Source, mode: AnswerMode):
    backbone = source.model(CAUSAL if mode.language else ENCODER, None, torch.float32, mode.language)
    targets = LLAMA_TARGETS if mode.language else ["query", "value", "dense"]
    adapted = randomise_adapters(AdaptedModel(backbone, MTLLoRA(rank=4), [task.name for task in TASKS], targets))
    model = mode.model(adapted, TASKS, "last" if mode.language else "mean", 0)
    with torch.no_grad():
        for parameter in (p for name, p in model.named_parameters() if "heads" in name):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval(), source.tokenizer(CAUSAL if mode.language else ENCODER, None)


def batches(source: Source, mode: AnswerMode, tokenizer) -> tuple[list[dict], list[dict], dict]:
    """Four training and four scored rows of each task, shuffled, as tokens; and the rows themselves."""
    data = [load_task(task, source, "test", 4, 4) for task in TASKS]
    train, test = encode(data, tokenizer, mode, 200)
    raw = {(i, row["row"]): row for i, d in enumerate(data) for row in d.test}
    order = np.random.default_rng(0).permutation(12)
    return [train[int(i)] for i in order], [test[int(i)] for i in order], raw


@torch.no_grad()
def test_pairs_equal_a_loop_over_questions_and_options(source: Source) -> None:
    mode = BiEncoder()
    model, tokenizer = tiny_model(source, mode)
    _, rows, raw = batches(source, mode, tokenizer)
    result = model(**Collator(mode, tokenizer)(rows))
    losses = []

    def vector(text: str, task: int) -> torch.Tensor:
        batch = tokenizer([text], return_tensors="pt")
        hidden = model.backbone(batch["input_ids"], batch["attention_mask"], task_ids=[task]).last_hidden_state
        return F.normalize(hidden[0].mean(0), dim=0)

    for i, row in enumerate(rows):
        text, task = raw[row["task_ids"], row["row"]], row["task_ids"]
        question = vector(text["question"], task) * model.heads.weight[task]
        scores = 20 * torch.stack([question @ vector(option, task) for option in text["options"]])
        assert result["predictions"][i] == scores.argmax()
        losses.append(F.cross_entropy(scores, torch.tensor(text["label"])))
    torch.testing.assert_close(result["loss"], torch.stack(losses).mean())


@torch.no_grad()
def test_likelihood_equals_a_loop_over_options(source: Source) -> None:
    mode = Likelihood()
    model, tokenizer = tiny_model(source, mode)
    _, rows, raw = batches(source, mode, tokenizer)
    predictions = model(**Collator(mode, tokenizer)(rows))["predictions"]
    for i, row in enumerate(rows):
        text, task = raw[row["task_ids"], row["row"]], row["task_ids"]
        start = tokenizer(prompt(text["text"], "same", False), add_special_tokens=False)["input_ids"]
        assert row["input_ids"] == start and len(row["responses"]) == len(text["options"])
        scores = []
        for answer in row["responses"]:
            logits = model.backbone(torch.tensor([start + answer]), task_ids=[task]).logits[0].log_softmax(-1)
            scores.append(sum(logits[len(start) + j - 1, token] for j, token in enumerate(answer)))
        assert predictions[i] == torch.stack(scores).argmax()


@torch.no_grad()
@pytest.mark.parametrize("loss", ["response", "all"])
def test_the_loss_is_that_of_the_chosen_tokens(source: Source, loss: str) -> None:
    mode = Generation(loss=loss)
    model, tokenizer = tiny_model(source, mode)
    rows, _, _ = batches(source, mode, tokenizer)
    result = model(**Collator(mode, tokenizer)(rows))
    losses = []
    for row in rows:
        ids = torch.tensor(row["input_ids"])
        response = tokenizer.encode("the correct answer is", add_special_tokens=False)
        start = len(ids) - len(response) - 2  # and the option's name and the end
        assert ids[start : start + len(response)].tolist() == response and ids[-1] == tokenizer.eos_token_id
        logits = model.backbone(ids[None], task_ids=[row["task_ids"]]).logits[0]
        first = start if loss == "response" else 1
        losses.append(F.cross_entropy(logits[first - 1 : -1], ids[first:]))
    torch.testing.assert_close(result["loss"], torch.stack(losses).mean())


@torch.no_grad()
def test_generated_in_a_padded_batch_equals_generated_alone(source: Source) -> None:
    mode = Generation(new_tokens=5)
    model, tokenizer = tiny_model(source, mode)
    _, rows, _ = batches(source, mode, tokenizer)
    together = model(**Collator(mode, tokenizer)(rows))["predictions"]
    assert together.shape == (12, 5) and len({len(row["input_ids"]) for row in rows}) > 3
    for i, row in enumerate(rows):
        ids = torch.tensor([row["input_ids"]])
        for token in together[i]:
            best = model.backbone(ids, task_ids=[row["task_ids"]]).logits[0, -1].argmax()
            assert best == token
            if best == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, best[None, None]], dim=1)


def test_answers_are_found_by_the_documented_rule() -> None:
    assert find_answer("the correct answer is answer3, not answer1", ANSWERS, "words") == 2
    assert find_answer("Answer3", ANSWERS, "words") is None and find_answer("", ANSWERS, "words") is None
    assert find_answer("it is 3 or 1", ANSWERS, "words") is None
    assert find_answer("it is 3 or 1", ANSWERS, "words-or-digits") == 2
    assert find_answer("5, then 2 or answer4", ANSWERS, "words-or-digits") == 3
    assert find_answer("it is 5", ANSWERS, "words-or-digits") is None
    assert find_answer("1", ["true", "false"], "words-or-digits") is None
    assert find_answer("1", ["solution1", "solution2"], "words-or-digits") is None
    assert find_answer("solution2", ["solution1", "solution2"], "words") == 1


def test_unanswered_is_told_apart_from_wrong(source: Source) -> None:
    tokenizer = source.tokenizer(CAUSAL, None)
    texts = ["answer2", "w1 answer1", "w1"]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    width = max(map(len, ids))
    made = np.array([own + [tokenizer.pad_token_id] * (width - len(own)) for own in ids])
    found = Generation().answers(ARC, {"predictions": made}, tokenizer)
    assert found["prediction"][:2].tolist() == [1, 0] and np.isnan(found["prediction"][2])


def test_prompts_of_training_and_evaluation() -> None:
    assert prompt("Do it.", "same", True) == prompt("Do it.", "same", False)
    training, evaluation = prompt("Do it.", "released", True), prompt("Do it.", "released", False)
    assert training != evaluation and training.split() == evaluation.split()
    assert "request.  \n" + " " * 16 + "\n" in training and "request. \n\n" in evaluation
    assert all(text.rstrip().endswith(MARKER) for text in (training, evaluation, prompt("", "same", True)))


@pytest.mark.parametrize("released", [True, False])
def test_a_prompt_too_long_keeps_its_response_unless_it_is_the_released_one(source: Source, released: bool) -> None:
    mode = Generation(prompt="released" if released else "same")
    tokenizer = source.tokenizer(CAUSAL, None)
    rows = Dataset.from_list([{"text": " ".join(["w1"] * 300), "question": "", "options": ["a", "b"], "label": 1, "row": 0}])
    (row,) = mode.tokens(rows, PIQA, tokenizer, 50, training=True)
    assert len(row["input_ids"]) == 50
    assert (row["input_ids"][-1] == tokenizer.eos_token_id) != released
    assert (sum(label != -100 for label in row["labels"]) == 0) == released
    (row,) = mode.tokens(rows, PIQA, tokenizer, 50, training=False)
    assert len(row["input_ids"]) > 300 if released else len(row["input_ids"]) == 50


def test_unknown_settings() -> None:
    for make, message in (
        (lambda: Generation(loss="some"), "unknown loss 'some'; known: response, all"),
        (lambda: Likelihood(prompt="mine"), "unknown prompt 'mine'; known: same, released"),
        (lambda: Generation(match="close"), "unknown match 'close'; known: words, words-or-digits"),
        (lambda: Generation(new_tokens=0), "new tokens must be at least 1"),
    ):
        with pytest.raises(InvalidInput, match=message):
            make()
    assert [mode.name for mode in answer_modes_for(SUITE)] == ["bi-encoder", "likelihood", "cloze", "generation"]


def test_a_bi_encoder_is_recorded_under_its_first_name() -> None:
    """Ids are hashes of it, and options and records that say "pairs" go on being read."""
    mode = parse_answer_mode("pairs", Heads())
    assert mode == parse_answer_mode("bi-encoder", Heads()) == BiEncoder()
    assert recorded_answer_mode(mode) == {"way": "pairs"} and read_answer_mode({"way": "pairs"}) == mode

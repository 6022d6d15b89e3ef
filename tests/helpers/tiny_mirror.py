"""A mirror folder made on the spot: GLUE-shaped rows that can be learnt, and tiny random backbones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from benchmarks.suites.commonsense import SUITE as COMMONSENSE
from benchmarks.suites.nlu import SUITE

ENCODER, NO_DROPOUT, CAUSAL = "tiny/encoder", "tiny/no-dropout", "tiny/causal"
NAMES = list(dict.fromkeys(name for task in COMMONSENSE.tasks for name in task.labels))
WORDS = [f"w{i}" for i in range(40)] + ["good", "bad", "the", "correct", "answer", "is", *NAMES]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
TRAIN_ROWS, TEST_ROWS = 60, 24


def make_mirror(folder: Path) -> Path:
    """Fill ``folder`` with data sets and models; "good" and "bad" in the first text decide every label."""
    for task in SUITE.tasks:
        data = folder / "datasets" / task.dataset / task.config
        data.mkdir(parents=True)
        for split, rows in ((task.train_split, TRAIN_ROWS), (task.test_split, TEST_ROWS)):
            pd.DataFrame(_rows(task, rows, split)).to_parquet(data / f"{split}.parquet")
    _write_card(folder / "datasets" / "nyu-mll" / "glue")
    for task in COMMONSENSE.tasks:
        for split, rows in ((task.train_split, TRAIN_ROWS), (task.test_split, TEST_ROWS)):
            path = folder / "datasets" / task.dataset / task.files.format(config=task.config, split=split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_choices(task, rows, split)))
    set_seed(0)
    size = {"vocab_size": len(SPECIAL + WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    backbones = {
        ENCODER: BertModel(BertConfig(**size, intermediate_size=48)),
        NO_DROPOUT: BertModel(BertConfig(**size, intermediate_size=48, **still)),
        CAUSAL: LlamaForCausalLM(LlamaConfig(**size, intermediate_size=48)),
    }
    for name, model in backbones.items():
        model.save_pretrained(folder / "models" / name)
        make_tokenizer(encoder=name != CAUSAL).save_pretrained(folder / "models" / name)
    return folder


def make_t5(folder: Path) -> Path:
    """Fill ``folder`` with an encoder-decoder that knows the words of the data sets."""
    set_seed(0)
    tokens = {"vocab_size": len(SPECIAL + WORDS), "eos_token_id": 3, "pad_token_id": 0, "decoder_start_token_id": 0}
    size = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    T5ForConditionalGeneration(T5Config(**size, **tokens)).save_pretrained(folder)
    tokenizer = make_tokenizer(encoder=True)
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    return folder


def _rows(task, count: int, split: str) -> list[dict]:
    rng = random.Random(f"{task.name} {split}")
    rows = []
    for _ in range(count):
        positive = rng.random() < 0.5
        texts = [" ".join(rng.choices(WORDS[:40], k=rng.randint(2, 9))) for _ in task.inputs]
        texts[0] += " good" if positive else " bad"
        label = (4.0 if positive else 1.0) + rng.random() if task.graded else int(positive)
        rows.append({**dict(zip(task.inputs, texts, strict=True)), "label": label, "idx": len(rows)})
    return rows


def _choices(task, count: int, split: str) -> list[dict]:
    """The right option has "good" in it, as the question has; of true and false, true where the question has it."""
    rng = random.Random(f"{task.name} {split}")
    rows = []
    for _ in range(count):
        names = task.labels[: rng.randint(2, len(task.labels))]
        answer = rng.choice(names)
        texts = [" ".join(rng.choices(WORDS[:40], k=rng.randint(2, 9))) for _ in names]
        question = " ".join(rng.choices(WORDS[:40], k=rng.randint(2, 9)))
        if task.cloze.blank:
            question += f" {task.cloze.blank} is"
        if answer in ("true", "false"):
            listed = f"{question} {'good' if answer == 'true' else 'bad'}"
        else:
            named = zip(names, texts, strict=True)
            listed = [f"{n.capitalize()}: {text} {'good' if n == answer else 'bad'}" for n, text in named]
            listed = f"{question} good " + " ".join(listed)
        text = f"choose: {listed} Answer format: {'/'.join(names)}"
        rows.append({"instruction": text, "input": "", "output": f"the correct answer is {answer}", "answer": answer})
    return rows


def _write_card(folder: Path) -> None:
    lines = ["---", "configs:"]
    for task in SUITE.tasks:
        lines += [f"- config_name: {task.config}", "  data_files:"]
        for split in (task.train_split, task.test_split):
            lines += [f"  - split: {split}", f"    path: {task.config}/{split}.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def make_tokenizer(encoder: bool) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if not encoder:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )

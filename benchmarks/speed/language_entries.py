"""What ``benchmarks.speed.language_model`` times: training steps and scoring of a language model, ours and others'."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import peft
import torch
from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import nn
from transformers import PreTrainedTokenizerBase

from baselines.lora import LoRA
from baselines.references import HeadsOnly
from benchmarks.answering.base import AnswerMode, Batch, likeliest
from benchmarks.answering.cloze import Cloze, pairs
from benchmarks.answering.responses import LanguageModel, Likelihood
from benchmarks.data.splits import TaskData, load_task
from benchmarks.experiment.presets import PRESETS
from benchmarks.sources import Source
from benchmarks.speed.references import score_whole
from benchmarks.suites import find_suite
from benchmarks.training.batches import Collator, encode, lengths, schedule
from mtl_lora import AdaptedModel, Method, MTLLoRA

PRESET = PRESETS["smollm2"]
RANK, SCORED_AT_ONCE = 8, 64
HARNESS_BATCHES = (8, 16, 32, 64)


@dataclass
class Entry:
    """Something to time, and what it gave the last time. padding: the part of what it reads that is no token."""

    name: str
    work: Callable[[], Any]
    padding: float | None = None
    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    result: Any = None

    def run(self) -> None:
        """Do the work, and keep what it gives."""
        self.result = self.work()


@dataclass(frozen=True)
class Ground:
    """What all entries of a backbone start from: rows of ``commonsense``, and the model anew for each."""

    backbone: str
    source: Source
    rows: int

    @cached_property
    def data(self) -> list[TaskData]:
        """Some training rows of every task, and ``rows`` rows to score."""
        tasks = find_suite("commonsense").tasks
        return [load_task(task, self.source, "test", 4 * PRESET.recipe.batch_size, self.rows) for task in tasks]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.source.tokenizer(self.backbone, None)

    def base(self) -> Any:  # what peft and lm_eval take is a model of their own types
        """The pretrained model in float32."""
        model = self.source.model(self.backbone, None, torch.float32, language=True)
        model.config.use_cache = False
        return model

    def adapted(self, method: Method) -> LanguageModel:
        """The pretrained model with new adapters."""
        tasks = [of_task.task.name for of_task in self.data]
        return LanguageModel(AdaptedModel(self.base(), method, tasks, PRESET.backbone.targets), ())

    def encoded(self, mode: AnswerMode) -> tuple[Dataset, Dataset]:
        """Training rows and rows to score, as tokens."""
        return encode(self.data, self.tokenizer, mode, PRESET.backbone.max_length)

    def scored(self, mode: AnswerMode) -> list[Batch]:
        """The rows to score in batches."""
        _, test = self.encoded(mode)
        parts = (list(test.select(part)) for part in torch.arange(len(test)).split(SCORED_AT_ONCE))
        return [Collator(mode, self.tokenizer)(part) for part in parts]


def training(ground: Ground) -> list[Entry]:
    """Steps under autocast to bfloat16, on the batch whose width is the median of those of an epoch."""
    size, (train, _) = PRESET.recipe.batch_size, ground.encoded(Cloze())
    batches = schedule([len(of_task.train) for of_task in ground.data], lengths(train), PRESET.recipe, 0).reshape(-1, size)
    widths = lengths(train)[batches]
    typical = batches[widths.max(1).argsort()[len(batches) // 2]]
    batch = Collator(Cloze(), ground.tokenizer)(list(train.select(typical)))
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(PRESET.backbone.targets))
    padding = float(1 - widths.sum() / (size * widths.max(1).sum()))
    return [
        Entry("training step: PEFT LoRA, all logits", peft_step(peft.get_peft_model(ground.base(), config), batch)),
        Entry("training step: LoRA", step(ground.adapted(LoRA(rank=RANK)), batch), padding),
        Entry("training step: MTL-LoRA", step(ground.adapted(MTLLoRA(rank=RANK)), batch)),
        Entry("training step: LoRA, logits of one place (the bound)", least_step(ground.adapted(LoRA(rank=RANK)), batch)),
    ]


def scoring(ground: Ground) -> list[Entry]:
    """Answers of the untrained model to all rows, in float32."""
    bare, adapted = (ground.adapted(method).eval() for method in (HeadsOnly(), LoRA(rank=RANK)))
    options, responses = ground.scored(Cloze(norm="none")), ground.scored(Likelihood())
    peer = HFLM(pretrained=ground.base().eval(), tokenizer=ground.tokenizer, backend="causal")
    return [
        harness(peer, ground.data),
        Entry("cloze", lambda: torch.cat([_predict(bare, batch) for batch in options]), scoring_padding(bare, options)),
        Entry("cloze: LoRA", lambda: torch.cat([_predict(adapted, batch) for batch in options])),
        Entry("likelihood: every option whole", lambda: torch.cat([_whole(adapted, batch) for batch in responses])),
        Entry("likelihood", lambda: torch.cat([_predict(adapted, batch) for batch in responses])),
    ]


def step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """One whole optimiser step of ours, as a run of the preset takes it."""
    return _step(model, lambda: model(**batch)["loss"])


def peft_step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """The same with transformers' own loss, which takes logits of every word at every place."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    return _step(model, lambda: model(**inputs, use_cache=False).loss)


def least_step(model: LanguageModel, batch: Batch) -> Callable[[], None]:
    """What is left of ours where every sample asks for the logits of its last place alone."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}

    def loss() -> torch.Tensor:
        with model.backbone.use_tasks(batch["task_ids"]):
            return model.backbone(**inputs, logits_to_keep=1, use_cache=False).logits.float().logsumexp(-1).mean()

    return _step(model, loss)


def _step(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([p for p in model.train().parameters() if p.requires_grad], lr=1e-4)

    def work() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return work


def harness(model: HFLM, data: list[TaskData]) -> Entry:
    """lm-evaluation-harness's log-likelihoods of the same options, at the batch size that is the fastest for it here."""
    texts = [pair for own in data for row in own.test for pair in pairs(own.task, row)]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(texts)]

    def work(size: int, some: list[Instance]) -> list[float]:
        model.batch_size_per_gpu = size
        return [value for value, _ in model.loglikelihood(some, disable_tqdm=True)]

    sample = requests[:: max(len(requests) // 128, 1)]
    best = min(HARNESS_BATCHES, key=lambda size: cpu_seconds(lambda: work(size, sample)))
    return Entry("cloze: lm-evaluation-harness", lambda: work(best, requests), result=best)


@torch.no_grad()
def _predict(model: LanguageModel, batch: Batch) -> torch.Tensor:
    return model(**batch)["predictions"]


@torch.no_grad()
def _whole(model: LanguageModel, batch: Batch) -> torch.Tensor:
    scores = score_whole(model.backbone, **batch)  # type: ignore[arg-type]  # all of them tensors
    return likeliest(scores)


def scoring_padding(model: LanguageModel, batches: list[Batch]) -> float:
    """The part of what is read in scoring that is no token of a prompt, nor of an option but its last."""
    read: list[int] = []
    embedding = model.backbone.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, output: read.append(inputs[0].numel()))
    for batch in batches:
        _predict(model, batch)
    hook.remove()
    ends = [(batch["scored"] * torch.arange(1, batch["scored"].shape[1] + 1)).amax(1) for batch in batches]
    needed = sum(int(batch["attention_mask"].sum()) for batch in batches) + sum(int((end - 1).sum()) for end in ends)
    return 1 - needed / sum(read)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """What some work takes of the processor, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start

"""lm-evaluation-harness as an oracle of log-likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.lora import LoRA
from benchmarks.answering.cloze import Cloze, pairs
from benchmarks.answering.log_likelihood import score_continuations
from benchmarks.data.splits import TaskData
from benchmarks.training.batches import Collator
from mtl_lora import AdaptedModel


@torch.no_grad()
def assert_scores_are_those_of_the_harness(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    mode: Cloze,
    data: Sequence[TaskData],
    targets: Sequence[str],
    max_length: int,
) -> None:
    """Whether all options of the scored rows have the log-likelihoods that the harness gives them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [pair for of_task in data for row in of_task.test for pair in pairs(of_task.task, row)]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(texts)]
    backend = "seq2seq" if mode.encoder_decoder else "causal"
    oracle = HFLM(pretrained=base, tokenizer=tokenizer, batch_size=16, backend=backend)
    expected = torch.tensor([value for value, _ in oracle.loglikelihood(requests, disable_tqdm=True)])
    model = AdaptedModel(base, LoRA(rank=4), [of_task.task.name for of_task in data], targets)
    scores: list[Tensor] = []
    for index, of_task in enumerate(data):
        encoded = mode.tokens(of_task.test, of_task.task, tokenizer, max_length, training=False)
        inputs = Collator(mode, tokenizer)([row | {"task_ids": index} for row in encoded])
        del inputs["lengths"]
        scores.append(score_continuations(model, **inputs))
    torch.testing.assert_close(torch.cat(scores), expected, rtol=0, atol=1e-3)

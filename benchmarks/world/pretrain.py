"""``python -m benchmarks.world.pretrain``: makes the encoder's weights, by guessing masked words of unlabelled documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainingArguments, set_seed

from benchmarks.records.config import plain
from benchmarks.records.environment import environment
from benchmarks.world.corpus import documents
from benchmarks.world.encoder import FOLDER, PATCH, PATCHES, SPECIAL, WorldEncoder, new_encoder, new_tokenizer
from benchmarks.world.pictures import patches

BATCH, LEARNING_RATE, MASKED = 64, 1.5e-3, 0.25
LOG = "pretraining.json"


class MaskedWords(nn.Module):
    """The encoder, and its word vectors as the output layer."""

    def __init__(self, encoder: WorldEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """labels (b, s): the word at a masked place, -100 elsewhere."""
        masked = labels != -100
        hidden = self.encoder(**inputs).last_hidden_state[masked]
        logits = self.transform(hidden) @ self.encoder.text.embeddings.word_embeddings.weight.T
        return {
            "loss": F.cross_entropy(logits, labels[masked]),
            "right": (logits.argmax(1) == labels[masked]).float().mean(),
        }


class Batches(IterableDataset):
    """Batches of new documents without end."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        tokenizer, stream = new_tokenizer(), documents(self.seed)
        rng = np.random.default_rng(self.seed)
        special, mask = len(SPECIAL), tokenizer.mask_token_id
        for _ in count():
            drawn = [next(stream) for _ in range(BATCH)]
            texts = [f"{PATCH} " * PATCHES * (picture is not None) + text for text, picture in drawn]
            encoded = tokenizer(texts, padding=True, return_tensors="np")
            ids = encoded["input_ids"]
            hidden = (ids >= special) & (rng.random(ids.shape) < MASKED)
            labels = np.where(hidden, ids, -100)
            # As BERT: most become the mask, some another word, some stay.
            how = rng.random(ids.shape)
            shown = np.where(how < 0.8, mask, np.where(how < 0.9, rng.integers(special, len(tokenizer), ids.shape), ids))
            seen = patches(np.stack([picture for _, picture in drawn if picture is not None]))
            batch = {"input_ids": np.where(hidden, shown, ids), "attention_mask": encoded["attention_mask"]}
            batch |= {"pictures": seen, "labels": labels}
            yield {name: torch.as_tensor(array) for name, array in batch.items()}


def main(
    out: Annotated[Path, typer.Option(help="folder of the weights")] = FOLDER,
    steps: Annotated[int, typer.Option(help="optimiser steps")] = 3000,
    seed: Annotated[int, typer.Option(help="of the weights and of the documents")] = 0,
) -> None:
    """Pretrain from nothing and write config.json, model.safetensors, the tokenizer and the log."""
    made = environment("python -m benchmarks.world.pretrain")
    set_seed(seed)
    model = MaskedWords(new_encoder(seed))
    arguments = TrainingArguments(
        output_dir=str(out),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=1,  # the stream gives whole batches
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 20,
        weight_decay=0.01,
        adam_beta2=0.98,
        logging_steps=max(steps // 20, 1),
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
    )
    trainer = Trainer(model, arguments, train_dataset=Batches(seed), data_collator=lambda batches: batches[0])
    trainer.train()
    model.encoder.save_pretrained(out)
    new_tokenizer().save_pretrained(out)
    log = {
        "seed": seed,
        "steps": steps,
        "documents": steps * BATCH,
        "loss": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
        "right_of_masked": masked_words_right(model, seed + 1),
        "seconds": trainer.state.log_history[-1]["train_runtime"],
        "environment": plain(made),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (out / LOG).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    print(f"written: {out}; of masked words in new documents {log['right_of_masked']:.1%} were guessed right")


@torch.no_grad()
def masked_words_right(model: MaskedWords, seed: int, batches: int = 20) -> float:
    """The share of masked words guessed right in documents never trained on."""
    stream: Any = iter(Batches(seed))
    device = next(model.parameters()).device
    shares = [model(**{k: v.to(device) for k, v in next(stream).items()})["right"].item() for _ in range(batches)]
    return float(np.mean(shares))


if __name__ == "__main__":
    typer.run(main)

"""Data sets of pictures made on the spot, in the mirror's schema, and a random vision model: answers can be seen."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pandas as pd
from PIL import Image
from tiny_mirror import SPECIAL, WORDS, make_tokenizer
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    CLIPConfig,
    CLIPModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    set_seed,
)

from benchmarks.suites.image_text import SUITE

VISION, OTHER_VISION, CLIP, SEQ2SEQ = "tiny/vit", "tiny/other-vit", "tiny/clip", "tiny/bart"
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
PICTURES, TRAIN, TEST = 18, 60, 24


def make_pictures(folder: Path) -> Path:
    """Add the five sets of the suite and two vision models to a mirror."""
    for task in SUITE.tasks:
        _data_set(folder / "datasets" / task.dataset, task)
    for seed, name in enumerate((VISION, OTHER_VISION)):
        set_seed(seed)
        size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = ViTModel(ViTConfig(**size, image_size=16, patch_size=4), add_pooling_layer=False)
        model.save_pretrained(folder / "models" / name)
        ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "models" / name)
    seen = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    read = seen | {"vocab_size": 30, "max_position_embeddings": 8}
    clip = CLIPModel(CLIPConfig(vision_config=seen | {"image_size": 16, "patch_size": 8}, text_config=read))
    clip.save_pretrained(folder / "models" / CLIP)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "models" / CLIP)
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 4))}
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3}
    tokens |= {"forced_bos_token_id": 2, "forced_eos_token_id": 3}  # as BART has them
    ffn = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64}
    config = BartConfig(vocab_size=len(SPECIAL + WORDS), d_model=32, **layers, **ffn, **tokens)
    BartForConditionalGeneration(config).save_pretrained(folder / "models" / SEQ2SEQ)
    tokenizer = make_tokenizer(encoder=True)
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder / "models" / SEQ2SEQ)
    return folder


def _data_set(folder: Path, task) -> None:
    rng = random.Random(task.name)
    colours = {f"{i}.png": rng.choice(list(COLOURS)) for i in range(PICTURES)}
    images = [
        {"image_id": name, "image": {"bytes": _png(COLOURS[colour]), "path": name}} for name, colour in colours.items()
    ]
    (folder / "images").mkdir(parents=True)
    pd.DataFrame(images).to_parquet(folder / "images" / "train.parquet")
    (folder / "annotations").mkdir()
    names = list(colours)
    for split, own, rows in (("train", names[: PICTURES // 2], TRAIN), ("test", names[PICTURES // 2 :], TEST)):
        made = [_row(task, name, colours[name], rng) for name in rng.choices(own, k=rows)]
        pd.DataFrame(made).to_parquet(folder / "annotations" / f"{split}.parquet")
    card = ["---", "configs:", "- config_name: annotations", "  data_files:"]
    card += [
        "  - split: train",
        "    path: annotations/train.parquet",
        "  - split: test",
        "    path: annotations/test.parquet",
    ]
    card += ["- config_name: images", "  data_files:", "  - split: train", "    path: images/train.parquet", "---", ""]
    (folder / "README.md").write_text("\n".join(card))


def _row(task, name: str, colour: str, rng: random.Random) -> dict:
    if task.captions:
        return {"image_id": name, "caption": f"w{rng.randrange(9)} {'good' if colour == 'red' else 'bad'} the answer"}
    text = f"w{rng.randrange(9)} w{rng.randrange(9)}"
    if task.labels:
        return {"image_id": name, "sentence": text, "label": int(colour == "red")}
    return {"image_id": name, "question": text, "answer": "good" if colour == "red" else "bad"}


def _png(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 12), colour).save(stream, "PNG")
    return stream.getvalue()


def make_hub(folder: Path) -> Path:
    """Add the four sets of ``image-text-hub`` as the hub has them: pictures in the rows, or joined by id."""
    rng = random.Random(0)
    sets = folder / "datasets"

    def put(rows: list[dict], *path: str) -> None:
        sets.joinpath(*path[:-1]).mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_parquet(sets.joinpath(*path))

    def picture(number: int) -> dict:  # as many contents as numbers
        return {"bytes": _png((number, 40, 90)), "path": None}

    def texts() -> str:
        return f"w{rng.randrange(9)} w{rng.randrange(9)}"

    for split, start in (("train", 0), ("validation", 20)):
        people = [{"answer": answer} for answer in ("good", "good", "bad")]
        rows = [{"image": picture(start + i % 10), "question": texts(), "answers": people} for i in range(40)]
        put(rows, "Multimodal-Fatima", f"VQAv2_{split}", "data", f"{split}.parquet")
    lines = ["---", "configs:"]
    for split, start in (("train", 50), ("testdev", 70)):
        rows = [{"imageId": str(start + i % 10), "question": texts(), "answer": "good"} for i in range(40)]
        put(rows, "lmms-lab", "GQA", f"{split}_instructions", f"{split}.parquet")
        images = [{"id": str(start + i), "image": picture(start + i)} for i in range(10)]
        put(images, "lmms-lab", "GQA", f"{split}_images", f"{split}.parquet")
        for kind in ("instructions", "images"):
            lines += [f"- config_name: {split}_balanced_{kind}", "  data_files:"]
            lines += [f"  - split: {split}", f"    path: {split}_{kind}/{split}.parquet"]
    (sets / "lmms-lab" / "GQA" / "README.md").write_text("\n".join([*lines, "---", ""]))
    for split, start in (("train", 100), ("test", 130)):
        pairs = [(start + i % 12, start + 12 + i % 7) for i in range(40)]
        rows = [
            {"image0": picture(a), "image1": picture(b), "sentence": texts(), "label": str(a % 2 == 0)} for a, b in pairs
        ]
        put(rows, "pingzhili", "nlvr2", "data", f"{split}.parquet")
        said = [["w1 good", "w2 good"], ["w3 bad", "w4 bad"]]
        rows = [{"image": picture(start + 60 + i), "sentences_raw": said[i % 2]} for i in range(20)]
        put(rows, "Multimodal-Fatima", f"COCO_captions_{split}", "data", f"{split}.parquet")
    return folder

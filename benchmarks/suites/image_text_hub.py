"""``image-text-hub``: the paper's four sets by hub id; tens of gigabytes of pictures.

Declared from the cards of these repositories, which were not loaded here; no revision is pinned for that reason, except
NLVR2's. VQAv2 is scored on its validation split, as its test answers are not public; the paper reports the Karpathy test
split, which is a part of it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.suites.spec import Pictures, Suite, Task

FREE_FORM = partial(Task, config="default", revision="main", written=True)

SUITE = Suite(
    name="image-text-hub",
    summary="VQAv2, GQA, NLVR2 and COCO captions from the hub: declared from their cards, not yet measured here",
    tasks=(
        FREE_FORM(
            name="vqav2",
            summary="a question on a photo, ten answers (VQAv2)",
            dataset="Multimodal-Fatima/VQAv2_{split}",
            inputs=("question",),
            label_column="answers",
            prompt="vqa: {text}",
            pictures=Pictures(("image",)),
            metrics=("vqa_accuracy",),
        ),
        FREE_FORM(
            name="gqa",
            summary="a compositional question on a photo (GQA, testdev balanced)",
            dataset="lmms-lab/GQA",
            config="{split}_balanced_instructions",
            test_split="testdev",
            inputs=("question",),
            label_column="answer",
            prompt="gqa: {text}",
            pictures=Pictures(("imageId",), "{split}_balanced_images", key="id"),
            metrics=("exact_match",),
        ),
        Task(
            name="nlvr2",
            summary="is the sentence true of the two photos? (NLVR2)",
            dataset="pingzhili/nlvr2",
            config="default",
            revision="6ad9994db49bf1162feaecacc5554e5ca4a36487",
            test_split="test",
            inputs=("sentence",),
            prompt="nlvr: {text}",
            labels=("False", "True"),
            pictures=Pictures(("image0", "image1")),
            metrics=("accuracy",),
        ),
        FREE_FORM(
            name="coco",
            summary="a caption of a photo (COCO captions, Karpathy's split)",
            dataset="Multimodal-Fatima/COCO_captions_{split}",
            test_split="test",
            inputs=(),
            label_column="sentences_raw",
            prompt="caption:",
            captions=True,
            pictures=Pictures(("image",)),
            metrics=("cider",),
            more_metrics=("bleu",),
        ),
    ),
    preset="paper",
)

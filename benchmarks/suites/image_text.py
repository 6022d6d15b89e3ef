"""``image-text``: questions on pictures, sentences about them and captions, all answered in words.

The pictures of the paper's sets are not on every machine. These stand-ins are smaller and of the same kinds: DAQUAR for
VQAv2, easy-VQA and SHAPES for GQA, NLVR for NLVR2, Flickr8k for COCO captions. No hub repository has them in one form: each
is a folder ``datasets/image-text/<name>`` of the mirror with a card that lists two configurations:

- annotations: image_id, and question and answer (daquar, easy_vqa, shapes), sentence and label 0 or 1 (nlvr), or caption
  (flickr8k_1000), a row for each; train, test
- images: image_id and image, an encoded picture with its path; train
"""

from __future__ import annotations

from functools import partial

from benchmarks.suites.spec import Pictures, Suite, Task

ON_PICTURES = partial(
    Task, config="annotations", revision="", test_split="test", pictures=Pictures(("image_id",), "images", "train")
)
QUESTION = partial(ON_PICTURES, inputs=("question",), label_column="answer", written=True)

SUITE = Suite(
    name="image-text",
    summary="questions on pictures, truth of sentences, captions: public stand-ins for VQAv2, GQA, NLVR2 and COCO captions",
    tasks=(
        QUESTION(
            name="daquar",
            summary="a question on a photo of a room (DAQUAR)",
            dataset="image-text/daquar",
            prompt="vqa: {text}",
            metrics=("vqa_accuracy",),
        ),
        QUESTION(
            name="easy_vqa",
            summary="shape, colour or presence of the one thing drawn (easy-VQA)",
            dataset="image-text/easy_vqa",
            prompt="easy: {text}",
            metrics=("exact_match",),
        ),
        QUESTION(
            name="shapes",
            summary="a question of shapes, colours and places on a grid (SHAPES)",
            dataset="image-text/shapes",
            prompt="gqa: {text}",
            metrics=("exact_match",),
        ),
        ON_PICTURES(
            name="nlvr",
            summary="is the sentence true of the picture? (NLVR)",
            dataset="image-text/nlvr",
            inputs=("sentence",),
            prompt="nlvr: {text}",
            labels=("false", "true"),
            metrics=("accuracy",),
        ),
        ON_PICTURES(
            name="flickr8k",
            summary="a caption of a photo (1,000 photos of Flickr8k)",
            dataset="image-text/flickr8k_1000",
            inputs=(),
            prompt="caption:",
            label_column="caption",
            written=True,
            captions=True,
            metrics=("cider",),
            more_metrics=("bleu",),
        ),
    ),
    notes=(
        "Answers are generated, greedily. DAQUAR has one answer a question, so VQA's soft accuracy is whether it is the "
        "same after the official normalisation. CIDEr x 100 enters the mean as it does in the paper.",
        "Pictures are told apart by their ids. Of NLVR's 985 test rows 15 have a picture that is the same, byte for byte, "
        "as one of another id in training.",
    ),
)

"""``nlu``: the eight GLUE tasks (Wang et al., 2018, arXiv 1804.07461) with GLUE's own metrics."""

from __future__ import annotations

from functools import partial

from benchmarks.suites.spec import Suite, Task

GLUE = partial(Task, dataset="nyu-mll/glue", revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")

SUITE = Suite(
    name="nlu",
    summary="GLUE: eight tasks of sentence and sentence-pair understanding",
    tasks=(
        GLUE(
            name="cola",
            summary="is the sentence acceptable English?",
            config="cola",
            inputs=("sentence",),
            labels=("unacceptable", "acceptable"),
            metrics=("matthews",),
        ),
        GLUE(
            name="sst2",
            summary="is the film review positive?",
            config="sst2",
            inputs=("sentence",),
            labels=("negative", "positive"),
            metrics=("accuracy",),
        ),
        GLUE(
            name="mrpc",
            summary="do two news sentences say the same?",
            config="mrpc",
            inputs=("sentence1", "sentence2"),
            labels=("not_equivalent", "equivalent"),
            metrics=("f1", "accuracy"),
        ),
        GLUE(
            name="qqp",
            summary="do two questions ask the same?",
            config="qqp",
            inputs=("question1", "question2"),
            labels=("not_duplicate", "duplicate"),
            metrics=("f1", "accuracy"),
        ),
        GLUE(
            name="stsb",
            summary="how similar are two sentences, from 0 to 5?",
            config="stsb",
            inputs=("sentence1", "sentence2"),
            scale=(0.0, 5.0),
            metrics=("pearson", "spearman"),
        ),
        GLUE(
            name="mnli",
            summary="does the premise entail the hypothesis?",
            config="mnli",
            inputs=("premise", "hypothesis"),
            labels=("entailment", "neutral", "contradiction"),
            metrics=("accuracy",),
            test_split="validation_matched",
        ),
        GLUE(
            name="qnli",
            summary="does the sentence answer the question?",
            config="qnli",
            inputs=("question", "sentence"),
            labels=("entailment", "not_entailment"),
            metrics=("accuracy",),
        ),
        GLUE(
            name="rte",
            summary="does the first text entail the second?",
            config="rte",
            inputs=("sentence1", "sentence2"),
            labels=("entailment", "not_entailment"),
            metrics=("accuracy",),
        ),
    ),
    notes=(
        "Scored on the validation splits: the labels of GLUE's test splits are not public.",
        "MNLI is scored on its matched validation split; GLUE's leaderboard also has the mismatched one.",
        "WNLI is left out, as is usual.",
    ),
)

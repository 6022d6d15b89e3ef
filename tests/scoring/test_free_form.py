"""Scores of free-form answers against closed forms and what the official evaluations say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics.texts import bleu, cider, exact_match, normal, vqa_accuracy
from benchmarks.scoring.evaluate import evaluate_texts, points
from benchmarks.suites import find_suite


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("The Dog.", "dog"),
        ("two", "2"),
        ("none", "0"),
        ("dont know", "don't know"),
        ("don't", "don't"),
        ("garbage_bin", "garbage bin"),
        ("red, white", "red white"),
        ("1,000 people!", "1000 people"),
        ("3.5", "3.5"),
        ("3.", "3"),
        ("left-hand side", "left hand side"),
        ("were", "were"),
        ("\tan   apple\n", "apple"),
    ],
)
def test_answers_are_compared_as_vqa_compares_them(text: str, compared: str) -> None:
    assert normal(text) == compared
    assert normal(compared) == compared


@pytest.mark.parametrize(("same", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_of_ten_people(same: int, accuracy: float) -> None:
    answers = ["Two"] * same + [f"other {i}" for i in range(10 - same)]
    assert vqa_accuracy(["2"], [answers])[0] == pytest.approx(accuracy)


def test_vqa_accuracy_of_one_person_is_whether_it_is_the_same() -> None:
    assert vqa_accuracy(["garbage bin", "bin"], [["garbage_bin"], ["garbage_bin"]]).tolist() == [1.0, 0.0]


def test_exact_match_ignores_case_and_blanks_around_alone() -> None:
    assert exact_match([" Yes", "the yes", "yes"], [["yes"], ["yes"], ["no", "yes"]]).tolist() == [1.0, 0.0, 1.0]


def test_cider_and_bleu_of_the_references_themselves_and_of_other_words() -> None:
    captions = [["a dog runs over green grass"], ["two men sit on an old bench"], ["the child eats red apples slowly"]]
    same = [own[0].upper() + " ." for own in captions]
    assert cider(same, captions) == pytest.approx(np.full(3, 10.0))  # its greatest value: ten times a cosine of 1
    assert bleu(same, captions)[0] == pytest.approx(1.0, abs=1e-6)
    other = ["one bird flies high above clouds"] * 3
    assert cider(other, captions) == pytest.approx(np.zeros(3))
    assert bleu(other, captions)[0] < 1e-3


def test_a_word_that_all_captions_have_earns_less_than_one_that_few_have() -> None:
    captions = [["a dog", "a brown dog"], ["a cat", "a black cat"], ["a man", "a tall man"]]
    common, rare = cider(["a", "a", "a"], captions), cider(["dog", "cat", "man"], captions)
    assert (rare > common).all()


def test_everything_said_of_a_task_with_written_answers(resamples: None) -> None:
    task = find_suite("image-text").select(["daquar"])[0]
    texts = ["chair", "2", "lamp", "table"]
    references = [["chair"], ["two"], ["table"], ["table"]]
    found = evaluate_texts(task, texts, references, learnt=[["table"], ["table"], ["chair"]])
    assert points(task, texts, references).tolist() == [1, 1, 0, 1]
    assert found.score == found.metrics["vqa_accuracy"] == 0.75
    assert found.majority == 0.5
    assert (found.rows, found.train_rows) == (4, 3)
    assert found.standard_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5, rel=0.15)  # of a share, in closed form

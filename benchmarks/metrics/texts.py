"""Metrics of answers in words: VQA accuracy, exact match, CIDEr and BLEU."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from benchmarks.metrics.base import References, TextMetric

ENOUGH = 3  # people of ten who gave an answer, for it to be all right
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
DIGITS = {word: str(number) for number, word in enumerate(NUMBERS)} | {"none": "0"}
ARTICLES = {"a", "an", "the"}
CONTRACTIONS = {  # written without their apostrophe; those that are words of their own without it are left alone
    f"{word}{ending}": f"{word}{sign}"
    for ending, sign, words in (
        ("nt", "n't", "ai are ca could did does do had has have is might must need ought sha should was were wo would"),
        ("ve", "'ve", "could might must should they we what where who would you"),
        ("re", "'re", "there they what why you"),
        ("ll", "'ll", "how it they what who why you"),
        ("d", "'d", "he how it there they where who you"),
        ("s", "'s", "he how that there what when where who why"),
    )
    for word in words.split()
} | {"oclock": "o'clock", "maam": "ma'am", "yall": "y'all", "twas": "'twas"}


def normal(text: str) -> str:
    """An answer as VQA's official evaluation compares it (Antol et al., 2015; GT-Vision-Lab/VQA).

    Lower case; punctuation dropped where it touches a blank or the answer has a comma between digits, else made a blank;
    full stops dropped but before digits; numbers up to ten as digits; no articles; apostrophes of contractions restored.
    Here it is applied to every answer; the official code leaves answers alone on which all people agree. Of contractions the
    common ones are known here, the official list has some odd ones more.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    thousands = re.search(r"\d,\d", text) is not None
    cleaned = text
    for sign in PUNCTUATION:
        touching = f"{sign} " in text or f" {sign}" in text
        cleaned = cleaned.replace(sign, "" if touching or thousands else " ")
    cleaned = re.sub(r"\.(?!\d)", "", cleaned)
    words = [DIGITS.get(word, word) for word in cleaned.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def vqa_accuracy(texts: Sequence[str], references: References) -> np.ndarray:
    """VQA's soft accuracy: the mean, over all ways of leaving out one person, of min(1, others who said the same / 3).

    Where there is one answer alone, whether it is the same.
    """
    points = []
    for text, answers in zip(texts, references, strict=True):
        same = [normal(answer) == normal(text) for answer in answers]
        if len(same) == 1:
            points.append(float(same[0]))
        else:
            points.append(float(np.mean([min(1.0, (sum(same) - votes) / ENOUGH) for votes in same])))
    return np.array(points)


def exact_match(texts: Sequence[str], references: References) -> np.ndarray:
    """Whether the text is one of the answers, but for case and blanks around it, as GQA compares."""
    pairs = zip(texts, references, strict=True)
    return np.array([float(text.strip().lower() in {a.strip().lower() for a in answers}) for text, answers in pairs])


def rouge_l(texts: Sequence[str], references: References) -> np.ndarray:
    """ROUGE-L's F1 (Lin, 2004) by rouge-score, without stemming; with several answers the best of them."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return np.array(
        [scorer.score_multi(answers, text)["rougeL"].fmeasure for text, answers in zip(texts, references, strict=True)]
    )


def cider(texts: Sequence[str], references: References) -> np.ndarray:
    """CIDEr-D by pycocoevalcap (Vedantam et al., 2015); how rare words are is counted in the references."""
    return Cider().compute_score(*_captions(texts, references))[1]


def bleu(texts: Sequence[str], references: References) -> np.ndarray:
    """BLEU-4 of all captions together, by pycocoevalcap."""
    return np.array([Bleu(4).compute_score(*_captions(texts, references), verbose=0)[0][3]])


def _captions(texts: Sequence[str], references: References) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """As pycocoevalcap wants them: words in lower case without punctuation. The official evaluation tokenises in Java, which
    also parts "man's" in two and keeps "t-shirt" in one."""

    def words(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9']+", text.lower()))

    right = {i: [words(caption) for caption in captions] for i, captions in enumerate(references)}
    return right, {i: [words(text)] for i, text in enumerate(texts)}


TEXT_METRICS = (
    TextMetric(name="vqa_accuracy", points=vqa_accuracy),
    TextMetric(name="exact_match", points=exact_match),
    TextMetric(name="rouge_l", points=rouge_l),
    TextMetric(name="cider", points=cider),
    TextMetric(name="bleu", points=bleu, of_all=True),
)

"""Scores of answers in words: VQA accuracy, exact match, CIDEr and BLEU.

Each but BLEU gives every sample points of its own (1 is perfect; CIDEr may give up to 10), and is their mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from benchmarks.records.schema import TaskScore
from benchmarks.scoring.metrics import BOOTSTRAP_RESAMPLES
from benchmarks.suites.spec import Task

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

References = Sequence[Sequence[str]]


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
            points.append(float(np.mean([min(1.0, (sum(same) - own) / ENOUGH) for own in same])))
    return np.array(points)


def exact_match(texts: Sequence[str], references: References) -> np.ndarray:
    """Whether the text is one of the answers, but for case and blanks around it, as GQA compares."""
    pairs = zip(texts, references, strict=True)
    return np.array([float(text.strip().lower() in {a.strip().lower() for a in answers}) for text, answers in pairs])


def cider(texts: Sequence[str], references: References) -> np.ndarray:
    """CIDEr-D by pycocoevalcap (Vedantam et al., 2015); how rare words are is counted in the references."""
    return Cider().compute_score(*_captions(texts, references))[1]


def bleu(texts: Sequence[str], references: References) -> float:
    """BLEU-4 of all captions together, by pycocoevalcap."""
    return float(Bleu(4).compute_score(*_captions(texts, references), verbose=0)[0][3])


def _captions(texts: Sequence[str], references: References) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """As pycocoevalcap wants them: words in lower case without punctuation. The official evaluation tokenises in Java, which
    also parts "man's" in two and keeps "t-shirt" in one."""

    def words(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9']+", text.lower()))

    return {i: [words(a) for a in own] for i, own in enumerate(references)}, {i: [words(t)] for i, t in enumerate(texts)}


POINTS: dict[str, Callable[[Sequence[str], References], np.ndarray]] = {
    "vqa_accuracy": vqa_accuracy,
    "exact_match": exact_match,
    "cider": cider,
}
OF_ALL: dict[str, Callable[[Sequence[str], References], float]] = {"bleu": bleu}


def points(task: Task, texts: Sequence[str], references: References) -> np.ndarray:
    """What each text earns: the mean of the task's metrics."""
    return np.mean(list(_by_metric(task, texts, references).values()), axis=0)


def _by_metric(task: Task, texts: Sequence[str], references: References) -> dict[str, np.ndarray]:
    return {name: POINTS[name](texts, references) for name in task.metrics}


def evaluate_written(task: Task, texts: Sequence[str], references: References, learnt: References) -> TaskScore:
    """All that is said of a task with written answers, as ``benchmarks.scoring.metrics.evaluate_task`` says it of others.

    The majority answer is the commonest of those learnt; the standard error draws samples, with the points they have.
    """
    by_metric = _by_metric(task, texts, references)
    own = np.mean(list(by_metric.values()), axis=0)
    commonest = Counter(answer for answers in learnt for answer in answers).most_common(1)[0][0]
    rng = np.random.default_rng(0)
    drawn = own[rng.integers(len(own), size=(BOOTSTRAP_RESAMPLES, len(own)))].mean(1)
    return TaskScore(
        metrics={name: float(earned.mean()) for name, earned in by_metric.items()}
        | {name: OF_ALL[name](texts, references) for name in task.more_metrics},
        score=float(own.mean()),
        standard_error=float(drawn.std(ddof=1)),
        majority=float(points(task, [commonest] * len(references), references).mean()),
        rows=len(references),
        train_rows=len(learnt),
    )

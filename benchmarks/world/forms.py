"""The tasks of the world: thirteen forms, each asked by two readers.

**The conflict knob.** The answer to every question hinges on one word of a pair of opposites (or on two such words, in the
graded forms). Both readers mean the same by *big, small, left, right*; by *solid, hollow, top, bottom* the southern reader
means what the northern one calls the opposite. Conflict c in [0, 1] is the probability that a hinge is one of the disputed
words. So on a share 1 - c of the same inputs the two readers want the same answer and on a share c the opposite one, and
the correlation of their answers (as +1 and -1) is 1 - 2c. The reader is named in the text and chooses the task id; the two
tasks of a form share their rows and their head.

Row i of a form is drawn from the same random numbers at every c, so that a hinge disputed at one c is so at any higher.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.world.language import (
    AGREED,
    COLOURS,
    DIMENSIONS,
    DISPUTED,
    KINDS,
    OPPOSITE,
    PEOPLE,
    PLACES,
    SHAPES,
    VALUES,
    unlike,
    value_of,
)
from benchmarks.world.pictures import Thing, draw_thing, render

VERSION = "1"  # of the rows; a change to what is drawn is another version
ROWS = {"train": 120, "test": 100}
CAPTIONS = tuple(f"{value} {shape}" for value in VALUES for shape in SHAPES)


@dataclass(frozen=True)
class Asker:
    """Draws the rows of one form as one reader means them."""

    rng: random.Random
    conflict: float
    reader: str

    def hinge(self, kind: int | None = None) -> str:
        """A dimension, disputed with probability c. kind: the first or the second of its class, else either."""
        disputed, place = self.rng.random() < self.conflict, self.rng.randrange(2)
        return list(DISPUTED if disputed else AGREED)[place if kind is None else kind]

    def says(self, value: str, dimension: str) -> str:
        """The word by which this reader calls what the northern reader calls ``value``."""
        return OPPOSITE[value] if self.reader == "south" and dimension in DISPUTED else value

    def claim(self, truth: str, dimension: str) -> tuple[str, bool]:
        """A word of the dimension, true for the northern reader half of the time; and whether this reader finds it true."""
        word = self.rng.choice(DIMENSIONS[dimension])
        return word, word == self.says(truth, dimension)

    def one(self, *choices: str) -> str:
        return self.rng.choice(choices)


def sense(ask: Asker) -> dict[str, Any]:
    kind, h = ask.one(*KINDS), ask.hinge()
    word, true = ask.claim(value_of(kind, h), h)
    start = ask.one("the", "a", f"{ask.one(*PEOPLE)} says the", "in the world the")
    return {"text": f"{start} {kind} is {word}", "label": int(true)}


def entail(ask: Asker) -> dict[str, Any]:
    kind, h, who, where = ask.one(*KINDS), ask.hinge(), ask.one(*PEOPLE), ask.one(*PLACES)
    word, true = ask.claim(value_of(kind, h), h)
    premise = ask.one(f"{who} has a {kind} in the {where}", f"in the {where} {who} saw a {kind}")
    return {"text": premise, "text_pair": f"{who} {ask.one('has', 'saw')} something {word}", "label": int(true)}


def similar(ask: Asker) -> dict[str, Any]:
    kind, hinges = ask.one(*KINDS), [ask.hinge(0), ask.hinge(1)]
    claims = [ask.claim(value_of(kind, h), h) for h in hinges]
    text = f"{ask.one('the', 'a')} {kind} in the {ask.one(*PLACES)}"
    return {"text": text, "text_pair": f"something {claims[0][0]} and {claims[1][0]}", "label": sum(t for _, t in claims)}


def which(ask: Asker) -> dict[str, Any]:
    kind, h = ask.one(*KINDS), ask.hinge()
    pair = [kind, unlike(kind, h, ask.rng)]
    word = ask.one(*DIMENSIONS[h])
    answer = [ask.says(value_of(k, h), h) for k in pair].index(word)
    return {"text": f"which is {word} ?", "text_pair": f"first {pair[0]} , second {pair[1]}", "label": answer}


def finish(ask: Asker) -> dict[str, Any]:
    kind, h = ask.one(*KINDS), ask.hinge()
    options = [*DIMENSIONS[h], ask.one(*PLACES)]
    ask.rng.shuffle(options)
    listed = f"first {options[0]} , second {options[1]} , third {options[2]}"
    answer = options.index(ask.says(value_of(kind, h), h))
    return {"text": f"{ask.one(*PEOPLE)} saw a {kind} . it was", "text_pair": listed, "label": answer}


def owner(ask: Asker) -> dict[str, Any]:
    kind, h = ask.one(*KINDS), ask.hinge()
    kinds, people, word = [kind, unlike(kind, h, ask.rng)], ask.rng.sample(PEOPLE, 2), ask.one(*DIMENSIONS[h])
    story = f"{people[0]} has a {kinds[0]} , {people[1]} has a {kinds[1]}"
    answer = [ask.says(value_of(k, h), h) for k in kinds].index(word)
    return {"text": story, "text_pair": f"who has something {word} ?", "label": answer}


def vqa(ask: Asker) -> dict[str, Any]:
    thing, h = draw_thing(ask.rng), ask.hinge()
    question = f"what {h} is the {ask.one(thing.colour, thing.shape)} ?"
    return {"picture": picture(thing), "text": question, "label": VALUES.index(ask.says(getattr(thing, h), h))}


def compose(ask: Asker) -> dict[str, Any]:
    """What is seen against what is known: one of the two has the value, the other its opposite."""
    thing, h = draw_thing(ask.rng), ask.hinge()
    kind = ask.one(*(kind for kind in KINDS if value_of(kind, h) != getattr(thing, h)))
    word, answer = ask.claim(value_of(kind, h), h)
    return {"picture": picture(thing), "text": f"which is {word} , the {thing.shape} or the {kind} ?", "label": int(answer)}


def true_of_picture(ask: Asker) -> dict[str, Any]:
    thing, h = draw_thing(ask.rng), ask.hinge()
    word, true = ask.claim(getattr(thing, h), h)
    return {"picture": picture(thing), "text": f"the {thing.colour} {thing.shape} is {word}", "label": int(true)}


def caption(ask: Asker) -> dict[str, Any]:
    thing, h = draw_thing(ask.rng), ask.hinge()
    answer = f"{ask.says(getattr(thing, h), h)} {thing.shape}"
    return {"picture": picture(thing), "text": f"caption the {thing.colour} by {h}", "label": CAPTIONS.index(answer)}


def relevance(ask: Asker) -> dict[str, Any]:
    kind, hinges, where, who = ask.one(*KINDS), [ask.hinge(0), ask.hinge(1)], ask.one(*PLACES), ask.one(*PEOPLE)
    claims = [ask.claim(value_of(kind, h), h) for h in hinges]
    wanted = where if ask.rng.random() < 0.5 else ask.one(*(p for p in PLACES if p != where))
    grade = sum(true for _, true in claims) + (wanted == where)
    query = f"{claims[0][0]} {claims[1][0]} toy for the {wanted}"
    return {"text": query, "text_pair": f"{who} sells {kind} toy for the {where}", "label": grade}


def offers(ask: Asker) -> dict[str, Any]:
    kind, h, who, colour = ask.one(*KINDS), ask.hinge(), ask.one(*PEOPLE), ask.one(*COLOURS)
    word, true = ask.claim(value_of(kind, h), h)
    return {"text": f"{colour} {kind} toy by {who}", "text_pair": f"{who} sells {word} {colour} toy", "label": int(true)}


def intent(ask: Asker) -> dict[str, Any]:
    kind, h, where = ask.one(*KINDS), ask.hinge(), ask.one(*PLACES)
    text = ask.one(f"find {kind} for the {where} by {h}", f"where to buy {kind} by {h}")
    return {"text": text, "label": VALUES.index(ask.says(value_of(kind, h), h))}


def picture(thing: Thing) -> bytes:
    """The picture of a thing as its raw bytes, row by row."""
    return render(thing).tobytes()


FORMS: dict[str, Callable[[Asker], dict[str, Any]]] = {
    "sense": sense,
    "entail": entail,
    "similar": similar,
    "which": which,
    "finish": finish,
    "owner": owner,
    "vqa": vqa,
    "compose": compose,
    "true": true_of_picture,
    "caption": caption,
    "relevance": relevance,
    "offers": offers,
    "intent": intent,
}


@cache
def world_rows(task: str, split: str, conflict: float) -> list[dict[str, Any]]:
    """The rows of the task "form-reader" in "train" or "test", by column: text, (text_pair), (picture), label."""
    form, _, reader = task.rpartition("-")
    rows = []
    for index in range(ROWS[split]):
        row = FORMS[form](Asker(random.Random(f"{form} {split} {index}"), conflict, reader))
        rows.append(row | {"text": f"{reader} : {row['text']}"})
    return rows


def decode_picture(data: bytes) -> np.ndarray:
    """The inverse of :func:`picture`: uint8 (side, side, 3)."""
    side = int((len(data) / 3) ** 0.5)
    return np.frombuffer(data, dtype=np.uint8).reshape(side, side, 3)

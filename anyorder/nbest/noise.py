"""A noisy channel: mistyped characters and misheard words, seeded; it made the shipped example.

`noisy` changes characters at given rates (insertions, deletions, substitutions by neighbours on the keyboard,
transpositions: arXiv:1709.06429, whose rates are not published; ours are proposals).
`misheard` swaps words that sound alike. `channel` is the likelihood that turns the same idea around.

>>> python -m anyorder.nbest.noise > example.jsonl
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyorder.nbest.sentences import ALIKE, SENTENCES

LABEL = "made by anyorder's noise model (anyorder/nbest/noise.py); no recogniser wrote it"
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True)
class Rates:
    """Chances of each kind of mistake, for each character of the text."""

    insertion: float = 0.0
    deletion: float = 0.0
    substitution: float = 0.0
    transposition: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.insertion, self.deletion, self.substitution, self.transposition)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(f"rates are {rates}; allowed are rates from 0 that sum to at most 1")


def neighbours(letter: str) -> str:
    """Keys beside a letter's, on its row and the next ones; the letter itself where it is no letter.

    >>> neighbours("s")
    'adwexz'
    """
    for y, row in enumerate(KEYS):
        x = row.find(letter)
        if x >= 0 and letter:
            beside = row[max(0, x - 1) : x] + row[x + 1 : x + 2]
            above = KEYS[y - 1][x : x + 2] if y else ""
            below = KEYS[y + 1][max(0, x - 1) : x + 1][::-1] if y + 1 < len(KEYS) else ""
            return beside + above + below
    return letter


def noisy(text: str, rates: Rates, chance: random.Random) -> str:
    """The text with each character mistyped at these rates; at most one mistake for a character."""
    out: list[str] = []
    i = 0
    while i < len(text):
        draw, letter = chance.random(), text[i]
        if draw < rates.insertion:
            out += [_one(neighbours(letter), chance), letter]
        elif draw < rates.insertion + rates.deletion:
            pass
        elif draw < rates.insertion + rates.deletion + rates.substitution:
            out.append(_one(neighbours(letter), chance))
        elif draw < rates.insertion + rates.deletion + rates.substitution + rates.transposition:
            out += [text[i + 1 : i + 2], letter]
            i += 1  # the next character has been written
        else:
            out.append(letter)
        i += 1
    return "".join(out)


def misheard(text: str, rate: float, chance: random.Random) -> str:
    """The text with each word that has others sounding like it swapped for one of them at this rate."""
    words = text.split()
    for i, word in enumerate(words):
        others = [other for group in ALIKE if word in group for other in group if other != word]
        if others and chance.random() < rate:
            words[i] = _one(others, chance)
    return " ".join(words)


def _one(options: Sequence[str], chance: random.Random) -> str:
    return options[int(chance.random() * len(options))]  # the same in every version of Python


def distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    start, end = 0, 0
    shorter = min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    costs = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, costs[0] = costs[0], i
        for j, y in enumerate(b, start=1):
            corner, costs[j] = costs[j], min(costs[j] + 1, costs[j - 1] + 1, corner + (x != y))
    return costs[-1]


def channel(seen: str, meant: str, rate: float) -> float:
    """log p(seen | meant) in nats, if each character is mistaken with chance `rate`: the likeliest account's,
    without the choice of the wrong character (proposed by us)."""
    edits = distance(seen, meant)
    right = max(0, max(len(seen), len(meant)) - edits)
    return edits * math.log(rate) + right * math.log1p(-rate)


def lists(seed: int = 1, n: int = 5) -> list[dict[str, Any]]:
    """The shipped example: our sentences, each misheard and mistyped `n` times. Its scores say how much was
    changed, and are a recogniser's only in form."""
    chance, made = random.Random(seed), []
    rates = Rates(insertion=0.002, deletion=0.003, substitution=0.005, transposition=0.002)
    for number, sentence in enumerate(SENTENCES, start=1):
        found: dict[str, float] = {}
        while len(found) < n:
            text = noisy(misheard(sentence, 0.3, chance), rates, chance)
            found.setdefault(text, -0.5 * distance(text.split(), sentence.split()) - 4 * chance.random())
        best = sorted(found.items(), key=lambda pair: -pair[1])
        made.append({
            "id": f"made-{number:02}", "source": LABEL,
            "nbest": [{"text": text, "score": round(score, 3)} for text, score in best],
            "reference": sentence,
        })  # fmt: skip
    return made


if __name__ == "__main__":
    for line in lists():
        print(json.dumps(line))

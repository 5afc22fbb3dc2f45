"""What three tokens in a row say: a small causal law, counted in texts as they are written, and the text
that it likes best among what several cells may hold.

A longer context that was seen speaks first, and gives the shorter one the weight of one more place:

    P_n(t | context of n tokens) = (count(context, t) + P_{n-1}(t)) / (count(context) + 1),   P_{-1} = 1 / V

which is a law whatever was counted: each order is the prior of the next, worth one place (ours).

>>> grams = Ngrams(vocab=10)
>>> grams.learn([1, 2, 3, 1, 2])
>>> grams(3, (1, 2)) > grams(4, (1, 2))
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONTEXT = 2  # tokens: a 3-gram model
LARGEST = 1 << 18  # tokens that are counted; then all are forgotten
IMPOSSIBLE = -1e4  # log of no chance at all; finite, so that weight 0 makes nothing of it


class Ngrams:
    """Counts of what follows each context of 0, 1 and 2 tokens."""

    def __init__(self, vocab: int):
        self.vocab = vocab
        self._empty()

    def _empty(self) -> None:
        self.learned = 0  # tokens
        self.pairs: dict[tuple[int, ...], int] = {}  # (*context, token) -> how often
        self.whole: dict[tuple[int, ...], int] = {}  # context -> how often

    def learn(self, text: Sequence[int], start: int = 0) -> None:
        """Count the tokens of a text from `start` on, each behind those before it."""
        if self.learned + len(text) - start > LARGEST:
            self._empty()
        self.learned += len(text) - start
        for i in range(start, len(text)):
            for n in range(min(CONTEXT, i) + 1):
                context = tuple(text[i - n : i])
                self.whole[context] = self.whole.get(context, 0) + 1
                pair = (*context, text[i])
                self.pairs[pair] = self.pairs.get(pair, 0) + 1

    def __call__(self, token: int, before: tuple[int, ...]) -> float:
        """The probability of a token behind others, of which the last two count."""
        law = 1.0 / self.vocab
        for n in range(min(CONTEXT, len(before)) + 1):
            context = before[len(before) - n :]
            law = (self.pairs.get((*context, token), 0) + law) / (self.whole.get(context, 0) + 1)
        return law


class Spot(NamedTuple):
    """What may stand in one hole."""

    token: tuple[int, ...]  # likeliest first
    log: tuple[float, ...]  # of their probabilities
    end: float  # log of the likeliest end of text's


def path(
    spots: Sequence[Spot], text: Sequence[int], grams: Ngrams, beam: int, weight: float, eos: Sequence[int]
) -> list[int]:
    """Causal-consistency path search: left to right, the paths with the largest sums of
    weight ln q + (1 - weight) ln P_3gram; the best one, up to its end of text."""
    paths: list[tuple[float, tuple[int, ...]]] = [(0.0, tuple(text[-CONTEXT:]))]
    start = len(paths[0][1])
    for spot in spots:
        found = []
        for score, tokens in paths:
            if tokens[start:] and tokens[-1] in eos:
                found.append((score + weight * spot.end, tokens))
                continue
            for token, log in zip(spot.token, spot.log, strict=True):
                worth = weight * log + (1 - weight) * math.log(grams(token, tokens[-CONTEXT:]))
                found.append((score + worth, (*tokens, token)))
        paths = sorted(found, key=lambda one: -one[0])[:beam]
    return list(paths[0][1][start:])

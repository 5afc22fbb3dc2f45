"""Prompt lookup (apoorvumang/prompt-lookup-decoding, 2023): what followed a phrase before may follow again.

The longest suffix of the text that occurs earlier is found, and its continuation is the draft. The longer the
match, the likelier its next token, and each accepted token makes the match longer; so where the cost of a run
is measured, long matches are copied at length and short ones hardly.
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from weakref import WeakKeyDictionary

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree, chain
from anyorder.drafter import After, Drafter, by_row
from anyorder.phrases import Phrases
from anyorder.sizes import Price, best_prefix

CARD = Card(
    name="prompt_lookup",
    family="speculative",
    paper="apoorvumang/prompt-lookup-decoding",
    exact=True,
    kind="point",
    summary="copies what followed the same words earlier in the text",
    headline="about 2.4x on input-grounded tasks, 2x to 4x range",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("ngram", 3, "longest suffix looked up, tokens", low=1, high=64),
        Option("nodes", 0, "tokens drafted at most; 0: as many as pay by the measured cost of a run, 10 "
               "where it is not measured", low=0, high=512, unmeasured=10),
        Option("tie", "recent", "the oldest or the latest of several matches", choices=("first", "recent")),
        Option("whole", False, "only matches that `nodes` tokens follow"),
    ),
    departures=(
        "the latest match and shorter drafts are the defaults; the reference is tie=first, whole=true",
        "how many tokens pay is told by the length of the match, its measured frequency of going on and the "
        "measured cost of a run (ours)",
    ),
)  # fmt: skip

HOLDS = (  # how often a match of 1, 2, ..., 12 or more tokens goes on (measured, greedy texts of suite quick)
    0.21, 0.45, 0.64, 0.75, 0.79, 0.84, 0.87, 0.89, 0.90, 0.90, 0.90, 0.96,
)  # fmt: skip
LONGEST = 63  # tokens whose worth is asked; no draft is longer if the cost tells its size


def lookup(text: np.ndarray, ngram: int, size: Sequence[int], tie: str, whole: bool) -> list[int]:
    """What followed the text's longest suffix that occurs earlier; [] if there is none. `size`: tokens copied
    after a match of 1, 2, ... tokens; the last one's after longer ones too."""
    n = len(text)
    for m in range(min(ngram, n - 1), 0, -1):
        least = max(1, size[min(m, len(size)) - 1]) if whole else 1
        last = n - least  # a match ends here or before, so that something follows it
        same = np.ones(max(0, last - m + 1), dtype=bool)  # same[i]: text[i : i + m] is the suffix
        for j in range(m):
            same &= text[j : j + len(same)] == text[n - m + j]
        found = np.flatnonzero(same)
        if len(found):
            start = int(found[0 if tie == "first" else -1]) + m
            while m < min(len(size), start) and text[start - m - 1] == text[n - m - 1]:
                m += 1  # `ngram` is only how much of the match was looked for
            return text[start : start + size[min(m, len(size)) - 1]].tolist()
    return []


def sizes(cost: Price) -> list[int]:
    """How many tokens pay after a match of 1, 2, ... tokens. The i-th copied one is worth the product of the
    frequencies up to it: every token that holds makes the match longer by one."""
    steady = [*HOLDS, *HOLDS[-1:] * LONGEST]
    return [best_prefix(list(accumulate(steady[m : m + LONGEST], mul)), cost) for m in range(len(HOLDS))]


def prompt_lookup(setting: Setting, ngram: int, nodes: int, tie: str, whole: bool) -> Drafter:
    assert nodes or setting.cost is not None, "an open size needs the cost of a run"
    size = sizes(setting.cost) if setting.cost is not None and not nodes else [nodes]

    def guess(canvas: Canvas, row: int) -> Tree:
        return chain(lookup(np.array(canvas.rows[row]), ngram, size, tie, whole), source=CARD.name)

    known: WeakKeyDictionary[Canvas, dict[int, Phrases]] = WeakKeyDictionary()

    def rank(canvas: Canvas, row: int) -> After:
        phrases = known.setdefault(canvas, {}).setdefault(row, Phrases())
        phrases.follow(canvas.rows[row])
        return phrases.after

    return Drafter(by_row(guess), rank=rank)

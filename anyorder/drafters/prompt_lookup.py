"""Prompt lookup (apoorvumang/prompt-lookup-decoding, 2023): what followed a phrase before may follow again.

The longest suffix of the text that occurs earlier is found, and its continuation is the draft."""

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree, chain
from anyorder.drafter import Drafter, by_row

CARD = Card(
    name="prompt_lookup",
    family="speculative",
    paper="apoorvumang/prompt-lookup-decoding",
    exact=True,
    kind="point",
    summary="copies what followed the same words earlier in the text",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("ngram", 3, "longest suffix looked up, tokens", low=1, high=64),
        Option("nodes", 10, "tokens drafted at most", low=1, high=512),
        Option("tie", "recent", "the oldest or the latest of several matches", choices=("first", "recent")),
        Option("whole", False, "only matches that `nodes` tokens follow"),
    ),
    departures=(
        "the latest match and shorter drafts are the defaults; the reference is tie=first, whole=true",
    ),
)


def lookup(text: np.ndarray, ngram: int, nodes: int, tie: str, whole: bool) -> list[int]:
    """What followed the text's longest suffix that occurs earlier; [] if there is none."""
    n = len(text)
    for m in range(min(ngram, n - 1), 0, -1):
        last = n - nodes if whole else n - 1  # a match ends at `last` or before, so that something follows it
        same = np.ones(max(0, last - m + 1), dtype=bool)  # same[i]: text[i : i + m] is the suffix
        for j in range(m):
            same &= text[j : j + len(same)] == text[n - m + j]
        found = np.flatnonzero(same)
        if len(found):
            start = int(found[0 if tie == "first" else -1]) + m
            return text[start : start + nodes].tolist()
    return []


def prompt_lookup(setting: Setting, ngram: int, nodes: int, tie: str, whole: bool) -> Drafter:
    def guess(canvas: Canvas, row: int) -> Tree:
        return chain(lookup(np.array(canvas.rows[row]), ngram, nodes, tie, whole), source=CARD.name)

    return Drafter(by_row(guess))

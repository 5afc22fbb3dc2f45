"""Diverse beam search (Vijayakumar et al. 2016, arXiv:1610.02424): groups of beams that keep apart.

At each position the groups take their turn. A group is a beam search of its own, but tokens that make its
texts like those of earlier groups cost `strength` times how alike they are (equation 5):

    theta(y_t) = log p(y_t | y_<t) - strength * Delta(Y_1, ..., Y_g-1)[y_t]

All groups read one run. What is added up is the augmented score, its penalties included.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import exp
from typing import NamedTuple

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method
from anyorder.hypotheses import Row, Rule, Said, commit, likely

CARD = Card(
    name="diverse_beam",
    family="search",
    paper="arXiv:1610.02424",
    exact=False,
    summary="beam search in groups, each told to differ from the earlier ones",
    headline="better oracle and top-1 texts and more diverse lists than beam search at about equal cost",
    cost="1 target run per step, 1 cell per live hypothesis",
    options=(
        Option("width", 10, "hypotheses kept, of all groups together", low=1, high=256),
        Option("groups", 5, "groups; they divide the width", low=1, high=256),
        Option("strength", 0.5, "what being alike costs, in nats; lambda", low=0, high=1000),
        Option("diversity", "hamming", "alike is: the same token at the same place; the same, less so the "
               "more the texts differ before; the same n-gram anywhere",
               choices=("hamming", "cumulative", "ngram")),
        Option("gamma", 1.0, "how slowly cumulative diversity forgives, in tokens", low=0.01, high=1000),
        Option("n", 2, "length of the n-grams", low=1, high=16),
        Option("rank", "augmented", "what ended texts are ranked by: with penalties, or the log-probability",
               choices=("augmented", "raw")),
        Option("length_penalty", 0.0, "power of the length that scores are divided by", low=-5, high=5),
        Option("stop", "bound", "when a group's ended hypotheses suffice, as in beam",
               choices=("full", "bound", "never")),
    ),
    departures=(
        "a group is our beam search, so a text that ends leaves its place to another; in the reference it "
        "keeps the place of a beam",
        "an end of text costs nothing: ending where others end is not being alike (ours)",
        "gamma and n have no values in the paper; 1 and 2 are ours",
        "no diversity by embeddings of words: a method sees no weights",
    ),
)  # fmt: skip


class Alike(NamedTuple):
    """Delta of one row: what any token costs, and what some cost beyond that."""

    each: float
    token: Mapping[int, float]


Diversity = Callable[[list[int], Sequence[list[int]], Sequence[list[int]]], Alike]
"""(a row's text, texts of earlier groups, those of them that just took a token at the row's next place)"""


def hamming(text: list[int], earlier: Sequence[list[int]], beside: Sequence[list[int]]) -> Alike:
    """How often earlier groups took a token at this place."""
    return Alike(0.0, Counter(other[-1] for other in beside))


def cumulative(gamma: float) -> Diversity:
    """Sum over texts of exp(-D / gamma), D the number of places at which they differ."""

    def alike(text: list[int], earlier: Sequence[list[int]], beside: Sequence[list[int]]) -> Alike:
        each, token = 0.0, dict[int, float]()
        for other in beside:
            apart = sum(a != b for a, b in zip(text, other))
            each += exp(-(apart + 1) / gamma)
            same = exp(-apart / gamma) - exp(-(apart + 1) / gamma)
            token[other[-1]] = token.get(other[-1], 0.0) + same
        return Alike(each, token)

    return alike


def ngram(n: int) -> Diversity:
    """How often the n-gram that a token would end stands in texts of earlier groups."""

    def alike(text: list[int], earlier: Sequence[list[int]], beside: Sequence[list[int]]) -> Alike:
        if len(text) < n - 1:
            return Alike(0.0, {})
        lead = text[len(text) - n + 1 :]
        starts = ((other, i) for other in earlier for i in range(len(other) - n + 1))
        return Alike(0.0, Counter(other[i + n - 1] for other, i in starts if other[i : i + n - 1] == lead))

    return alike


@dataclass(frozen=True)
class Ranked(Rule):
    raw: bool = False

    def score(self, row: Row, length: int) -> float:
        return (row.logp if self.raw else row.total) / length**self.length_penalty


def search(canvas: Canvas, groups: int, rule: Ranked, strength: float, diversity: Diversity) -> Flow:
    rows = [[Row((), 0, 0.0, 0.0)] for _ in range(groups)]  # all groups begin in the same row
    while True:
        seen = {token for h in range(len(canvas.rows)) for token in canvas.generated(h)}
        some = len(seen) + 2 * groups * rule.width  # no more tokens cost something
        said = dict(zip(canvas.live, (yield Ask(likely(rule.reach(canvas) + some))), strict=True))
        earlier: list[list[int]] = []
        for g, group in enumerate(rows):
            best = []
            for row in (row for row in group if row.parent in said):
                text = canvas.generated(row.parent)
                beside = [
                    other for other in earlier if len(other) > len(text) and other[-1] not in canvas.eos
                ]
                alike = diversity(text, earlier, beside)
                best += augmented(row, said[row.parent], alike, strength)
            best = sorted(best, key=lambda row: -row.total)[: rule.reach(canvas)]
            rows[g] = rule.step(canvas, [row for row in group if row.parent not in said], best)
            earlier += [[*canvas.generated(row.parent), *row.token] for row in rows[g]]
        yield commit([row for group in rows for row in group])
        place = count()
        rows = [[row._replace(token=(), parent=next(place)) for row in group] for group in rows]


def augmented(row: Row, said: Said, alike: Alike, strength: float) -> list[Row]:
    """The row by every token, at theta."""
    return [
        Row((t,), row.parent, row.total + p - strength * (alike.each + alike.token.get(t, 0.0)), row.logp + p)
        for t, p in said
    ]


def diverse_beam(
    setting: Setting, width: int, groups: int, strength: float, diversity: str, gamma: float, n: int,
    rank: str, length_penalty: float, stop: str,
) -> Method:  # fmt: skip
    if width % groups:
        raise ValueError(f"groups is {groups} and width {width}; allowed are groups that divide the width")
    rule = Ranked(width // groups, length_penalty, stop, rank == "raw")
    alike = {"hamming": hamming, "cumulative": cumulative(gamma), "ngram": ngram(n)}[diversity]
    return lambda canvas: search(canvas, groups, rule, strength, alike)

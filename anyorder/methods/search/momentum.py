"""Momentum decoding (Lan et al. 2022, arXiv:2212.02175): text as a walk on the graph of its own tokens.

A token that was not yet in prompt or text leads on; one that was closes a circle, and the longer the piece of
text it would repeat, the more resistance it meets. The most probable of a few candidates, less that, is next:

    history 1 2 3 7 8 2 3 7: 9 is new; 2 closes a circle of depth 1; 8 repeats 2 3 7 8, depth 4
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import top
from anyorder.core.types import Answer, Method
from anyorder.law import continued, under, writer

CARD = Card(
    name="momentum",
    family="search",
    paper="arXiv:2212.02175",
    exact=False,
    summary="the likeliest token, less a resistance where it would repeat a piece of the text",
    headline="preferred to contrastive decoding by human raters, 57 % to 40 % on news, with GPT-2 XL",
    cost="up to 1 target run per token",
    options=(
        Option("k", 5, "candidates: the likeliest tokens", low=1, high=256),
        Option("alpha", 0.2, "weight of the resistance; 0: greedy", low=0, high=10),
        Option("longest", 5, "tokens of the longest repetition that is looked for", low=1, high=64),
        Option("resistance", "paper", "of a circle of depth d: a table, or log_6(1 + d) / 0.2, 1.5^d / 2, 2",
               choices=("paper", "chinese", "repository", "log", "exp", "constant")),
        Option("then", "", "method that writes under this law: name/option=value; empty: greedy, above "
               "temperature 0 sample"),
    ),
    departures=(
        "above temperature 0 a candidate is drawn in proportion to its score, where that is positive; the "
        "paper takes the best (ours)",
        "p is the law after penalties, and above temperature 0 after temperature and truncation; the paper's "
        "is the model's own",
        "a repetition longer than the table goes has infinite resistance, as in the repository",
    ),
)  # fmt: skip

INFINITY = math.inf
TABLES = {  # resistance by depth
    "paper": (0, 1, 2, 3, 4, 5),
    "chinese": (0, 1, 1, 2, 3, 4),
    "repository": (0, 0, 0, 0, 5),
}


def resisted(kind: str, depth: int) -> float:
    """f(d); f(0) = 0."""
    if depth == 0:
        return 0.0
    if kind in TABLES:
        return TABLES[kind][depth] if depth < len(TABLES[kind]) else INFINITY
    return {"log": math.log(1 + depth, 6) / 0.2, "exp": 1.5**depth / 2, "constant": 2.0}[kind]


class History:
    """A text and where each token stands in it. It follows whatever text it is told, quickly if that begins
    like the last one."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.places: dict[int, list[int]] = {}

    def follow(self, text: list[int]) -> None:
        known = len(self.text)
        if text[:known] != self.text:
            known = next(i for i, (a, b) in enumerate(zip(self.text, [*text, None])) if a != b)
            for token in reversed(self.text[known:]):
                self.places[token].pop()
        for i, token in enumerate(text[known:], known):
            self.places.setdefault(token, []).append(i)
        self.text = text

    def depth(self, path: Sequence[int], token: int, longest: int) -> int:
        """The circular depth of a token behind the text and a path of guesses: how long a piece that ends in
        it was there before; 0 if it was not."""
        tail = [*self.text[max(0, len(self.text) - longest) :], *path]
        found = [_alike(self.text, i, tail, longest) for i in self.places.get(token, ())]
        first = len(tail) - len(path)
        found += [_alike(tail, i, tail, longest) for i, t in enumerate(path, first) if t == token]
        return max(found, default=0)


def _alike(text: Sequence[int], place: int, tail: Sequence[int], longest: int) -> int:
    """How long a piece of text ends at the place and, but for its last token, the tail too; the tail may
    hold the place itself."""
    most = min(longest - 1, place, len(tail))
    length = 0
    while length < most and text[place - 1 - length] == tail[-1 - length]:
        length += 1
    return length + 1


def law(scores: Sequence[float]) -> list[float]:
    """Logits of candidates: in proportion to positive scores; where none is, the best one's alone."""
    if max(scores) > 0:
        return [math.log(s) if s > 0 else -INFINITY for s in scores]
    best = scores.index(max(scores))
    return [0.0 if i == best else -INFINITY for i in range(len(scores))]


def momentum(setting: Setting, k: int, alpha: float, longest: int, resistance: str, then: str) -> Method:
    f = [alpha * resisted(resistance, d) if alpha else 0.0 for d in range(longest + 1)]
    histories: dict[int, History] = {}  # row -> its text, for speed

    def rule(answers: Sequence[Answer], canvas: Canvas) -> Tensor:
        (answer,) = answers
        logits = answer.logits  # [M, V]
        best = top(logits, min(k, logits.shape[1]))  # [M, k]
        logp = (logits.gather(1, best) - logits.logsumexp(-1, keepdim=True)).tolist()
        tokens, made = best.tolist(), [[-INFINITY] * best.shape[1] for _ in logp]
        for at, row, length, path in continued(answer):
            history = histories.setdefault(row, History())
            history.follow(canvas.rows[row][:length])
            there = [i for i, x in enumerate(logp[at]) if x > -INFINITY]  # the rest was forbidden
            depth = [history.depth(path, tokens[at][i], longest) for i in there]
            scores = [math.exp(logp[at][i]) - f[d] for i, d in zip(there, depth)]  # p(v) - alpha f(d(v))
            for i, x in zip(there, law(scores)):
                made[at][i] = x
        return torch.full_like(logits, -INFINITY).scatter_(1, best, logits.new_tensor(made))

    return under(writer(setting, then), rule)

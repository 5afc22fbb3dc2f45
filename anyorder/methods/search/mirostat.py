"""Mirostat (Basu et al. 2020, arXiv:2007.14966), version 2: text of a chosen mean surprise.

Only tokens whose surprise is at most mu may be drawn. Where what was drawn surprised more than tau bits, mu
falls, and where it surprised less, mu rises: so the mean surprise of a text comes to tau.
"""

import math
from collections.abc import Sequence
from functools import partial

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import ends
from anyorder.core.types import Answer, Ask, Commit, Flow, Method

CARD = Card(
    name="mirostat",
    family="search",
    paper="arXiv:2007.14966",
    exact=False,
    summary="sampling whose truncation is steered so that the text's mean surprise is tau",
    headline="cross-entropy of a text within a few per cent of the one asked for",
    cost="1 target run per token, 1 cell each",
    options=(
        Option("tau", 3.0, "mean surprise wanted, bits a token", low=0, high=100),
        Option("rate", 0.1, "eta: how fast mu follows the surprise", low=0, high=10),
    ),
    departures=(
        "surprise is told by the law that was read, before mu cuts it, as in the authors' code of version 1; "
        "others take it after the cut",
        "penalties, temperature and truncation act before: what is steered is the surprise under the law "
        "they leave",
        "mu is kept as the row's score",
    ),
    temperature=1.0,
)  # fmt: skip


def drawn(answer: Answer, chance: Chance, mu: Sequence[float], greedy: bool) -> list[tuple[int, float]]:
    """For each live row a token of at most mu bits, or the likeliest, and its surprise."""
    bits = ends(answer).log_softmax(-1) / -math.log(2)  # [L, V]
    out = []
    for surprise, lines, most in zip(bits, answer.rows, mu, strict=True):
        least = surprise.min()
        law = (surprise * -math.log(2)).masked_fill(surprise > max(most, float(least)), -math.inf)
        token = int(law.argmax()) if greedy else chance.pick(law, lines.row, lines.position(0))
        out.append((token, float(surprise[token])))
    return out


def steered(canvas: Canvas, tau: float, rate: float, greedy: bool) -> Flow:
    while True:
        begun = [len(row) > canvas.prompt for row in canvas.rows]
        mu = [m if b else 2 * tau for m, b in zip(canvas.score, begun, strict=True)]
        said = yield Ask(partial(drawn, mu=[mu[h] for h in canvas.live], greedy=greedy))
        for h, (_, surprise) in zip(canvas.live, said, strict=True):
            mu[h] -= rate * (surprise - tau)
        yield Commit([[token] for token, _ in said], score=tuple(mu))


def mirostat(setting: Setting, tau: float, rate: float) -> Method:
    return lambda canvas: steered(canvas, tau, rate, setting.greedy)

"""Confidence factor (Fast-dLLM, arXiv:2505.22618, section 3.3): as many cells as their sureness bears.

Cells by falling confidence c(1), c(2), ...; a step fills the first n, with the largest n that keeps
(n+1)(1 - c(n)) < factor, or one. With a factor of 1 that is theorem 1: the likeliest tokens of these n cells,
each under its own law, are also their likeliest joint text. The bound is tight: above 1 there are laws where
they are not.
"""

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, look, surest, unmask

CARD = Card(
    name="factor",
    family="diffusion",
    paper="arXiv:2505.22618",
    exact=False,
    summary="the more cells at once, the surer each has to be",
    cost="1 run per step",
    canvas="cells",
    options=(Option("factor", 1.0, "n cells at once are each surer than 1 - factor / (n+1)", low=0),),
    departures=(
        "the released loop is off by one: where the least sure hole of a block is the first to break the "
        "rule, it is filled all the same; here, as in the paper, it is not",
        "above temperature 0 the probability is the draw's, under the tempered law",
    ),
)


def factor(setting: Setting, factor: float) -> Method:
    def policy(seen: Seen) -> list[int]:
        order = surest(seen.sure)
        risk = (np.arange(len(order)) + 2) * (1 - seen.sure[order])  # never falls along the order
        return order[: int((risk < factor).sum())]

    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), policy)

    return method

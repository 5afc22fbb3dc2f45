"""Left to right (an option of FreeDave, arXiv:2510.00294; streaming engines): the longest sure beginning.

A step fills the holes from the left on as long as each is sure enough, at least the leftmost. The text grows
at its end, so it can be streamed, and with a net that sees only to the left and a threshold above 1 this is
plain greedy decoding.
"""

from itertools import takewhile

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, look, unmask

CARD = Card(
    name="prefix",
    family="diffusion",
    paper="arXiv:2510.00294",
    exact=False,
    summary="from the left on, as long as cells are sure",
    cost="1 run per step",
    canvas="cells",
    options=(
        Option("threshold", 0.9, "cells at least so probable are filled; above 1: one cell a step", low=0),
    ),
    departures=("the threshold's value is that of Fast-dLLM (ours)",),
)


def prefix(setting: Setting, threshold: float) -> Method:
    def policy(seen: Seen) -> list[int]:
        return list(takewhile(lambda i: i == 0 or seen.sure[i] >= threshold, range(len(seen))))

    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), policy)

    return method

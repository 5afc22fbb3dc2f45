"""Hierarchical decoding (dInfer, arXiv:2510.08666): besides sure cells, the best of every run of holes.

A step fills the cells that are surer than a threshold, and of each contiguous run of holes the surest one,
if it passes a lower threshold. So long runs are split as in a binary search, and what is filled together
stands far apart and hangs less on each other.
"""

from itertools import groupby

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, look, surest, unmask

CARD = Card(
    name="hierarchical",
    family="diffusion",
    paper="arXiv:2510.08666",
    exact=False,
    summary="sure cells, and the surest of every contiguous run of holes",
    cost="1 run per step",
    canvas="cells",
    options=(
        Option("threshold", 0.9, "cells more probable than this are filled", low=0),
        Option("low", 0.3, "the surest of a run of holes is filled if it is more probable than this", low=0),
    ),
    departures=("runs of holes end at the block's end",),
)


def stretches(cells: tuple[int, ...]) -> list[list[int]]:
    """Indices of cells, in groups that stand next to each other.

    >>> stretches((4, 5, 9))
    [[0, 1], [2]]
    """
    return [list(group) for _, group in groupby(range(len(cells)), lambda i: cells[i] - i)]


def hierarchical(setting: Setting, threshold: float, low: float) -> Method:
    def policy(seen: Seen) -> list[int]:
        best = [run[surest(seen.sure[run])[0]] for run in stretches(seen.cells)]
        sure = [i for i in range(len(seen)) if seen.sure[i] > threshold]
        return [*sure, *(i for i in best if seen.sure[i] > low)]

    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), policy)

    return method

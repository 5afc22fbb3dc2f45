"""Elastic-Cache (arXiv:2510.14973): a window of holes is computed, and the rest where attention drifts.

The window is the leftmost holes; those that are sure enough become text, at least one, and the window moves
on. A run computes the window and what was just written. All other states are kept until the window attends
otherwise than it did: in each block the net compares how much of its attention goes to the token that had the
most in the run before. Where the cosine of the two falls below `drift`, all cells are computed from the next
block on; deep states drift sooner, so shallow ones are computed less often. See `anyorder.nets.drift`.
"""

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method
from anyorder.filling import at_least_one, fill, look

CARD = Card(
    name="elastic_cache",
    family="diffusion",
    paper="arXiv:2510.14973",
    exact=False,
    summary="computes a window of holes, and from the block on where attention drifts all cells",
    cost="1 run per step, of the window and the cells just written; where attention drifted, of more",
    headline="LLaDA, GSM8K, 256 tokens: 8.2 times the speed, 78.0 to 78.2 % right",
    canvas="cells",
    attention=("full",),
    options=(
        Option("window", 16, "leftmost holes that a step may fill", low=1),
        Option("drift", 0.9, "the cosine below which all is computed; above 1: always, -1: never", low=-1),
        Option("threshold", 0.9, "cells at least so probable are filled", low=0),
    ),
    departures=(
        "attention is the mean over heads, and the leftmost of equally attended tokens is followed (ours)",
        "cells that were not computed enter the block behind the drift by the one where it was seen, from "
        "what that block read of them last (ours: the paper leaves it open); so drift=2 computes all of them",
        "no cell of the window was there before: counts as drift (ours)",
        "the window is of the whole canvas; blocks are not looked at",
        "toy nets do not watch their attention: on them nothing is computed again",
    ),
)


def elastic_cache(setting: Setting, window: int, drift: float, threshold: float) -> Method:
    def method(canvas: Canvas) -> Flow:
        last = max(map(len, canvas.rows))
        while any(holes := canvas.holes(range(last))):
            at = [cells[:window] for cells in holes]
            seen = yield Ask(look(setting.greedy), at=at, drift=drift)
            sure = [np.flatnonzero(s.sure >= threshold).tolist() for s in seen]
            picks = [at_least_one(s, some) if s.cells else [] for s, some in zip(seen, sure, strict=True)]
            written = [{s.cells[i] for i in pick} for s, pick in zip(seen, picks, strict=True)]
            yield fill(seen, picks, keep=[[i for i in range(last) if i not in new] for new in written])

    return method

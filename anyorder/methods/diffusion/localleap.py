"""LocalLeap (arXiv:2510.07081): around a cell that is sure, its neighbours need to be less so.

Cells at least as sure as the threshold are anchors. Within `radius` cells of an anchor a lower threshold
holds, since what is certain makes its surroundings certain; elsewhere the same one. At least the surest cell
is filled.
"""

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, look, unmask

CARD = Card(
    name="localleap",
    family="diffusion",
    paper="arXiv:2510.07081",
    exact=False,
    summary="a threshold that is lower next to sure cells",
    cost="1 run per step",
    headline="LLaDA, Dream: 6.94 times the throughput in 14.2 % of the steps",
    canvas="cells",
    options=(
        Option("threshold", 0.9, "cells at least so probable are filled", low=0),
        Option("relaxed", 0.75, "the same, near one of those, if it is lower", low=0),
        Option("radius", 4, "how near, in cells; 0: the threshold alone", low=0),
    ),
    departures=(
        "only holes of the block are anchors, and the lower threshold holds up to the radius, as in the "
        "released code (in the paper it fades)",
        "no early stop at a block of end-of-text: a canvas ends at the first one anyway",
    ),
)


def localleap(setting: Setting, threshold: float, relaxed: float, radius: int) -> Method:
    def policy(seen: Seen) -> list[int]:
        cells = np.array(seen.cells)
        anchors = cells[seen.sure >= threshold]
        near = (np.abs(cells[:, None] - anchors) <= radius).any(1)
        return np.flatnonzero(seen.sure >= np.where(near, min(relaxed, threshold), threshold)).tolist()

    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), policy)

    return method

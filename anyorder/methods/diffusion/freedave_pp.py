"""FreeDave++ (arXiv:2510.00294): drafts and verification as in FreeDave, with threshold decoding to go by.

The first draft is threshold decoding's next step; each further one adds a token. A draft comes true if all of
it is part of what threshold decoding would write next: it need not be the whole of it.
"""

from operator import le

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, at_least_one, surest
from anyorder.methods.diffusion.freedave import foresight, verified

CARD = Card(
    name="freedave_pp",
    family="diffusion",
    paper="arXiv:2510.00294",
    exact=False,
    summary="threshold decoding in fewer runs: tokens beyond its next step are drafted and verified",
    headline="with a threshold of 0.95, faster than FreeDave and no longer static decoding's text",
    cost="up to 1 run per commit",
    canvas="cells",
    options=(
        Option("drafts", 4, "futures in one run; 1: threshold decoding itself", low=1, high=64),
        Option("threshold", 0.95, "cells at least this sure are written; always the surest one", low=0),
    ),
    departures=(
        "the step that the last true draft leads to is written at once, not drafted again: the same runs",
        "drafts end with the block (the paper's eager mode, for block-causal models only, goes on)",
    ),
)


def freedave_pp(setting: Setting, drafts: int, threshold: float) -> Method:
    def sure(seen: Seen) -> list[int]:
        return at_least_one(seen, [i for i in range(len(seen)) if seen.sure[i] >= threshold])

    def one(seen: Seen) -> list[int]:
        return surest(seen.sure)[:1]

    def method(canvas: Canvas) -> Flow:
        return verified(canvas, foresight(sure, one, setting.greedy, drafts), le)

    return method

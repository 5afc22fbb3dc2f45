"""WINO (arXiv:2507.18578), wide in, narrow out: draft with a low threshold, take back what does not hold.

Each run answers two questions. The holes: those surer than `draft` are filled. The cells filled before, each
by a hole beside it that sees all cells but this one: tokens less likely than `verify` are opened again.

    a run drafts d cells and the next one takes back fewer than d, so each pair of them nets a cell or more
"""

from math import floor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, surest
from anyorder.revising import New, filled, hear, holes_of, reopened, trust, write

CARD = Card(
    name="wino",
    family="diffusion",
    paper="arXiv:2507.18578",
    exact=False,
    revises=True,
    summary="drafts many cells above a low threshold; what the rest of the text does not confirm is reopened",
    headline="GSM8K 6 times faster and 2.6 points better, Flickr30K 10 times (LLaDA, MMaDA)",
    cost="up to 1 run per cell, with a cell more for each that is verified",
    canvas="cells",
    attention=("full",),
    options=(
        Option("draft", 0.6, "a hole is filled with a token surer than this", low=0, high=1),
        Option("verify", 0.9, "a filled cell less likely than this is opened again; 0: none", low=0, high=1),
        Option("most", 0.7, "of the holes, how many one step may fill", low=0, high=1),
    ),
    departures=(
        "fewer cells are reopened than the last step filled, the least likely first, so a block ends "
        "after as many runs as it has cells; runs that hit this bound say so (ours)",
        "the last cells of a block are not verified: the block is complete",
        "cells that a template gave are never opened (ours)",
    ),
)


def wino(setting: Setting, draft: float, verify: float, most: float) -> Method:
    def drafted(seen: Seen) -> New:
        """The sure holes, the surest first, at most so many and at least one."""
        count = max(1, floor(most * len(seen)))
        sure = sum(s > draft for s in seen.sure)
        best = surest(seen.sure)[: max(1, min(count, sure))]
        return {seen.cells[i]: seen.token[i] for i in best}

    def doubted(canvas: Canvas, seen: Seen) -> list[int]:
        """Filled cells that do not hold, the least likely first."""
        held = trust(canvas, seen)
        return [seen.cells[i] for i in surest(-held) if held[i] < verify]

    def method(canvas: Canvas) -> Flow:
        mine = holes_of(canvas)
        for block in canvas.blocks():
            step, why, last = 0, "", dict.fromkeys(canvas.live, 1)  # row -> cells that its last draft filled
            while any(holes := canvas.holes(block)):
                old = filled(canvas, block if verify else (), mine, holes)
                heard = yield hear(holes, old, setting.greedy, step=step, blind=any(old), why=why)
                new, kept = [], 0
                for seen, before in zip(heard.holes, heard.filled, strict=True):
                    doubts, bound = doubted(canvas, before), last[seen.row] - 1
                    kept += max(0, len(doubts) - bound)
                    new.append(drafted(seen))
                    last[seen.row] = len(new[-1])
                    new[-1] |= reopened(canvas, doubts[:bound])
                why = f"{kept} doubted cells stay, for progress" if kept else ""
                yield write(new)
                step += 1

    return method

"""Pipelined blocks (D2F, arXiv:2508.09192; d3LLM, arXiv:2601.07568): blocks overlap.

Block b + 1 starts when a share of block b is filled. Started blocks are filled together, in the same runs:
all cells that are sure enough. Only a block whose predecessor is almost full must go on, filling its surest
cell where none is sure enough; so what is written far ahead is what nobody doubts.
"""

from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method
from anyorder.filling import Seen, fill, look, surest

CARD = Card(
    name="d2f",
    family="diffusion",
    paper="arXiv:2508.09192",
    exact=False,
    summary="several blocks at once, each a little behind the one before",
    cost="1 run per step",
    canvas="cells",
    options=(
        Option("threshold", 0.9, "cells of started blocks at least so probable are filled", low=0),
        Option(
            "entropy",
            0.0,
            "nats: and those with less entropy (d3LLM: this at 0.5, and a threshold of 2)",
            low=0,
        ),
        Option("start", 0.1, "a block starts when this share of the one before is filled", low=0, high=1),
        Option("free", 0.95, "and fills at least one cell a step from this share on", low=0, high=1),
    ),
    departures=(
        "works on any model; the papers train theirs for it",
        "cells of blocks that have not started are holes that the net sees (papers: they are not there yet)",
    ),
)


def d2f(setting: Setting, threshold: float, entropy: float, start: float, free: float) -> Method:
    def picked(seen: Seen, blocks: Sequence[range]) -> list[int]:
        picks: list[int] = []
        before = 1.0  # filled share of the block before
        for block in blocks:
            if before < start:
                break
            holes = [i for i, cell in enumerate(seen.cells) if cell in block]
            ready = [i for i in holes if seen.sure[i] >= threshold or seen.entropy[i] < entropy]
            if not ready and before >= free:
                ready = [holes[i] for i in surest(seen.sure[holes])[:1]]
            picks += ready
            before = 1 - len(holes) / len(block)
        return picks

    def method(canvas: Canvas) -> Flow:
        while blocks := canvas.blocks():
            everything = range(blocks[0].start, blocks[-1].stop)
            holes = canvas.holes(everything)  # of all blocks, so that no number of holes comes twice
            seen = yield Ask(look(setting.greedy), at=holes)
            yield fill(seen, [picked(s, blocks) for s in seen])

    return method

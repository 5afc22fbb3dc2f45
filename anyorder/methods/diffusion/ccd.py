"""Coherent contextual decoding (CCD, arXiv:2512.02044): write what stays the same while its context changes.

A token that the net would put elsewhere in another context is not ripe, however sure it is now. So the next
best cells of a step wait in a buffer, and in the next step those of them whose likeliest token is still the
same become text, together; if there are too few, the best cells do as in static unmasking.

    step 5   best: cell 3   buffer: 7 = "cat", 8 = "sat"
    step 6   best: cell 8   of the buffer 7 = "cat" and 8 = "sat" again: both are written
"""

from collections.abc import Mapping
from typing import NamedTuple

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, confidence, look, surest, unmask
from anyorder.methods.diffusion.static import schedule

CARD = Card(
    name="ccd",
    family="diffusion",
    paper="arXiv:2512.02044",
    exact=False,
    summary="cells whose likeliest token stayed the same while others were written",
    headline="trip planning with Dream-7B: 3.48 times fewer steps, score 15.1 to 19.0",
    cost="up to 1 run per cell",
    canvas="cells",
    options=(
        Option("amount", "dynamic", "all cells that stayed the same, or as many as a plain step",
               choices=("dynamic", "uniform")),
        Option("steps", 0, "steps per block, fewer when dynamic; 0: one for each cell", low=0),
        Option(
            "order", "entropy", "what cells are ranked by", choices=("confidence", "margin", "entropy"),
        ),
        Option("expand", 4.0, "a step of k cells has a buffer of up to k + expand * k; -1: none", low=-1),
        Option("warmup", 5, "first steps, with a buffer of one cell that is not used yet", low=1),
        Option("narrow", 0.0, "share of holes left from which the buffer has one cell (paper: 0.1)",
               low=0, high=1),
    ),
    departures=(
        "the released rule; the paper's average of laws over the last contexts has no published weights",
        "steps are those of a block, and what is compared are cells of the block; warm-up is counted "
        "from the first block on (released: one block)",
        "narrow is 0 as the released code behaves, where a later line undoes what the paper says",
    ),
)  # fmt: skip


class Past(NamedTuple):
    """What a row remembers of its steps."""

    steps: int
    buffer: frozenset[int]  # cells
    likeliest: Mapping[int, int]  # cell -> token in the last step


def ccd(
    setting: Setting, amount: str, steps: int, order: str, expand: float, warmup: int, narrow: float
) -> Method:
    score = confidence(order)

    def method(canvas: Canvas) -> Flow:
        plain = schedule(canvas, steps, order)
        rows: dict[int, Past] = {}

        def policy(seen: Seen) -> list[int]:
            past = rows.get(seen.row, Past(0, frozenset(), {}))
            top, ranked = list(plain(seen)), surest(score(seen))
            size = min(len(top) + int(len(top) * expand), 1 + max(0, past.steps + 1 - warmup))
            if sum(t == canvas.mask for t in canvas.generated(seen.row)) <= narrow * canvas.budget:
                size = min(size, 1)
            picks = top
            if past.steps >= warmup and any(seen.cells[i] in past.buffer for i in top):
                same = [
                    i for i in ranked[:size]
                    if seen.cells[i] in past.buffer and seen.best[i] == past.likeliest[seen.cells[i]]
                ]  # fmt: skip
                if len(same) >= len(top):
                    picks = same if amount == "dynamic" else same[: len(top)]
            waiting = [i for i in ranked if i not in picks][:size]
            buffer = frozenset(seen.cells[i] for i in waiting)
            rows[seen.row] = Past(past.steps + 1, buffer, dict(zip(seen.cells, seen.best, strict=True)))
            return picks

        return unmask(canvas, look(setting.greedy), policy)

    return method

"""ReDiff (arXiv:2510.19871): while holes are filled, what was filled before is rewritten.

Static unmasking, and from step `revise_start` on every cell of the block that is already filled takes the
token that is now the likeliest there. It needs a net that saw wrong visible tokens in training; others only
echo what stands there.
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, surest
from anyorder.methods.diffusion.static import quota
from anyorder.revising import Edits, New, filled, hear, holes_of, write

CARD = Card(
    name="rediff",
    family="diffusion",
    paper="arXiv:2510.19871",
    exact=False,
    revises=True,
    summary="static unmasking that rewrites what it filled before where the net changed its mind",
    headline="far more stable captions than plain unmasking at 1 to 8 tokens a step",
    cost="`steps` runs per block",
    canvas="cells",
    attention=("full", "block", "hybrid"),
    options=(
        Option("steps", 0, "steps per block; 0: one for each cell; fewer: the first ones write more", low=0),
        Option("revise_start", 1, "step of a block, from 0, from which filled cells are rewritten", low=0),
        Option("share", 1.0, "of the filled cells, the surest, that are rewritten", low=0, high=1),
        Option("edits", 2, "how often a cell may be rewritten; 0: never, as static", low=0),
    ),
    departures=(
        "a cell is rewritten at most `edits` times, so that rewriting cannot swing to and fro (ours)",
        "cells filled by a block's last step are not seen again: the canvas is complete (ours)",
        "rewriting takes the likeliest token above temperature 0 too (ours)",
        "the end of text may be written; the paper suppresses it, which the option banned does",
        "cells that a template gave are never rewritten (ours)",
    ),
)


def rediff(setting: Setting, steps: int, revise_start: int, share: float, edits: int) -> Method:
    def rewritten(canvas: Canvas, seen: Seen) -> New:
        """The surest of the filled cells, where another token is likelier now."""
        some = surest(seen.sure)[: round(share * len(seen))]
        return {
            seen.cells[i]: seen.best[i] for i in some if seen.best[i] != canvas.rows[seen.row][seen.cells[i]]
        }

    def method(canvas: Canvas) -> Flow:
        mine, counted = holes_of(canvas), Edits(edits)
        for block in canvas.blocks():
            step = 0
            while any(holes := canvas.holes(block)):
                old = filled(canvas, block if edits and step >= revise_start else (), mine, holes)
                heard = yield hear(holes, old, setting.greedy, why=counted.why)
                counted.step()
                changes = []
                for new, was in zip(heard.holes, heard.filled, strict=True):
                    some = surest(new.sure)[: quota(len(block), steps, len(new))] if len(new) else []
                    change = {new.cells[i]: new.token[i] for i in some}
                    changes.append(change | counted.allowed(new.row, rewritten(canvas, was)))
                yield write(changes)
                step += 1

    return method

"""Remasking (ReMDM, arXiv:2503.00307): some of what was filled is opened again, so that it can be better.

Every step fills its quota of the surest holes, as static unmasking does, and besides as many holes as it
opens again: after each step as many cells are filled as in static unmasking, but not the same ones.

    fixed        each filled cell is opened with probability `share`
    confidence   the same on average, more where the net was less sure when it filled the cell:
                 in proportion to exp(-p), p the token's probability then (ReMDM-conf)
    running      no chance: of filled cells, by the highest probability that their token had so far, and holes
                 the best are kept (running confidence remasking, RCR)
"""

from math import exp

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, surest
from anyorder.methods.diffusion.static import quota
from anyorder.revising import New, filled, hear, holes_of, reopened, trust, write

CARD = Card(
    name="remdm",
    family="diffusion",
    paper="arXiv:2503.00307",
    exact=False,
    revises=True,
    summary="static unmasking that opens some filled cells again, by chance or by confidence",
    cost="`steps` runs per block",
    canvas="cells",
    attention=("full", "block", "hybrid"),
    options=(
        Option("steps", 0, "steps per block; 0: one for each cell; fewer: the first ones write more", low=0),
        Option("by", "confidence", "which filled cells are opened again",
               choices=("fixed", "confidence", "running")),
        Option("share", 0.1, "fixed, confidence: chance of a filled cell to be opened in a step; 0: static",
               low=0, high=1),
    ),
    departures=(
        "the surest holes are filled, as in static; the paper's sampler draws which ones (ours)",
        "no more cells are opened than other holes can be filled instead, so a block takes `steps` runs and "
        "no more; the next run says where this bound was hit (ours)",
        "a running confidence starts with the probability at which the cell was filled (arXiv:2508.13148)",
        "cells that a template gave are never opened (ours)",
    ),
)  # fmt: skip

Sure = dict[tuple[int, int], float]  # (row, cell) -> how sure its token was


def remdm(setting: Setting, steps: int, by: str, share: float) -> Method:
    def opened(old: Seen, sure: Sure, chance: Chance, turn: int) -> list[int]:
        """Indices of filled cells that chance opens, the least sure first."""
        then = [sure[old.row, cell] for cell in old.cells]
        weight = [exp(-p) if by == "confidence" else 1.0 for p in then]
        mean = sum(weight) / max(1, len(weight))
        out = [i for i, w in enumerate(weight) if chance.flip(share * w / mean, old.row, old.cells[i], turn)]
        return sorted(out, key=lambda i: (then[i], i))

    def swapped(new: Seen, old: Seen, sure: Sure, count: int) -> list[int]:
        """Indices of filled cells that are among the least sure, as many as holes are among the best."""
        scores = [*(sure[old.row, cell] for cell in old.cells), *new.sure]  # of equals filled cells stay
        best = set(surest(scores)[: len(old) + count])
        return [i for i in range(len(old)) if i not in best]

    def step(canvas: Canvas, new: Seen, old: Seen, sure: Sure, count: int, chance: Chance) -> tuple[New, int]:
        """What a row writes, and how many cells stay although they were to be opened."""
        if by == "running":
            for cell, p in zip(old.cells, trust(canvas, old), strict=True):
                sure[old.row, cell] = max(sure[old.row, cell], float(p))
        out = swapped(new, old, sure, count) if by == "running" else opened(old, sure, chance, len(new))
        bound = len(new) - count
        best = surest(new.sure)[: count + min(len(out), bound)]
        sure.update({(new.row, new.cells[i]): float(new.sure[i]) for i in best})
        filled_ = {new.cells[i]: new.token[i] for i in best}
        return filled_ | reopened(canvas, [old.cells[i] for i in out[:bound]]), max(0, len(out) - bound)

    def method(canvas: Canvas) -> Flow:
        mine = holes_of(canvas)
        for block in canvas.blocks():
            sure: Sure = {}
            why = ""
            while any(holes := canvas.holes(block)):
                old = filled(canvas, block if share or by == "running" else (), mine, holes)
                heard = yield hear(holes, old, setting.greedy, why=why)
                new, kept = [], 0
                for seen, before in zip(heard.holes, heard.filled, strict=True):
                    count = quota(len(block), steps, len(seen)) if len(seen) else 0
                    change, held = step(canvas, seen, before, sure, count, heard.chance)
                    new.append(change)
                    kept += held
                why = f"{kept} cells stay that were to be opened: no holes are left instead" if kept else ""
                yield write(new)

    return method

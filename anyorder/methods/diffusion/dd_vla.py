"""Discrete Diffusion VLA (arXiv:2508.20072): a cosine says how many cells stay open after each of T rounds.

In round s, r = (s + 1) / T, every hole takes a token, and of the n cells of the block floor(n cos(pi r / 2))
are opened again, those with the least ln(score) + noise (1 - r) Gumbel:

    a hole of this round    its token's probability
    a cell filled before    that of its token now, times 1 - r; without `second` it is never opened again

So the easiest cells come first, and what was written early can still be put right. In the last round all
stays.
"""

from math import cos, floor, inf, log, pi

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Flow, Method
from anyorder.filling import surest
from anyorder.revising import New, filled, hear, holes_of, reopened, trust, write

CARD = Card(
    name="dd_vla",
    family="diffusion",
    paper="arXiv:2508.20072",
    exact=False,
    revises=True,
    summary="a fixed number of rounds along a cosine; cells filled early may be opened again",
    headline="LIBERO 96.3 %, 12 runs for a whole chunk of actions",
    cost="1 run per step, `steps` or fewer for each block",
    canvas="cells",
    attention=("full", "block", "hybrid"),
    options=(
        Option("steps", 12, "rounds for each block", low=1),
        Option("second", True, "cells filled in earlier rounds may be opened again"),
        Option("noise", 0.0, "of the choice which cells are opened; 0: the least likely", low=0, high=100),
    ),
    departures=(
        "a round may fill less than it opens; a block ends after `steps` rounds all the same",
        "two more triggers that the paper names are missing: their formulas are not published",
        "a block of one cell is filled by its first round (ours)",
        "at temperature 0 tokens are the likeliest and chance is only in `noise` (ours)",
        "cells that a template gave are never opened (ours)",
    ),
)


def open_after(cells: int, r: float) -> int:
    """How many of the cells are open after the round; none after the last."""
    return 0 if r >= 1 else min(max(floor(cells * cos(pi * r / 2) + 1e-9), 1), cells - 1)


def kept(scores: list[float], count: int, noise: float, chance: Chance, row: int, first: int) -> list[int]:
    """Indices of the `count` cells with the highest ln(score) + noise Gumbel: drawn one after the other
    without replacement in proportion to score^(1 / noise), which is the same law."""
    if noise == 0:
        return surest(scores)[:count]
    out = [i for i, s in enumerate(scores) if s == inf][:count]
    logits = torch.tensor([log(max(s, 1e-300)) / noise for s in scores], dtype=torch.float64)
    while len(out) < count:
        logits[out] = -inf
        out.append(chance.pick(logits, row, first, len(out)))
    return out


def dd_vla(setting: Setting, steps: int, second: bool, noise: float) -> Method:
    def method(canvas: Canvas) -> Flow:
        mine = holes_of(canvas)
        for block in canvas.blocks():
            sizes = dict(zip(canvas.live, map(len, canvas.holes(block)), strict=True))  # n of each row
            step = 0
            while any(holes := canvas.holes(block)):
                r = (step + 1) / steps
                old = filled(canvas, block, mine, holes)
                why = "last round: nothing is opened again" if second and r >= 1 else ""
                heard = yield hear(holes, old, setting.greedy, step=step, why=why)
                new: list[New] = []
                chance = heard.chance.of(f"choice {step}")
                for seen, before in zip(heard.holes, heard.filled, strict=True):
                    again = trust(canvas, before) * (1 - r) if second else [inf] * len(before)
                    cells, scores = (*seen.cells, *before.cells), [*map(float, seen.sure), *map(float, again)]
                    n = sizes[seen.row] if cells else 0
                    stay = kept(scores, n - open_after(n, r), noise * (1 - r), chance, seen.row, block.start)
                    tokens = dict(zip(seen.cells, seen.token, strict=True))
                    stays = {cells[i] for i in stay}
                    shut = {i: token for i, token in tokens.items() if i in stays}
                    new.append(shut | reopened(canvas, set(before.cells) - stays))
                yield write(new)
                step += 1

    return method

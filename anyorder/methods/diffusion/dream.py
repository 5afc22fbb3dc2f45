"""Dream's sampler (arXiv:2508.15487): the noise of a diffusion, put into steps of time.

Time runs from 1 to eps in equal steps. A step from time t to s fills a share 1 - s/t of the holes, the last
one all: of n holes the int(n (1 - s/t)) that rank highest, or, with alg "origin", each with that probability.
Steps that come to nothing would run the net and change nothing, so they are skipped.
"""

from functools import cache
from math import log

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import both
from anyorder.core.types import Answer, Ask, Flow, Method
from anyorder.filling import Seen, confidence, fill, look, surest
from anyorder.methods.diffusion.random_order import drawn

CARD = Card(
    name="dream",
    family="diffusion",
    paper="arXiv:2508.15487",
    exact=False,
    summary="Dream's sampler: a schedule of times, cells by rank or at random",
    cost="1 run per step",
    canvas="cells",
    temperature=0.2,
    options=(
        Option("steps", 0, "steps of time per block; 0: one for each cell", low=0),
        Option("eps", 0.001, "the last time before all is filled", low=0, high=1),
        Option(
            "alg",
            "entropy",
            "origin: any cell, as the noise falls; or who comes first: the least entropy, the likeliest "
            "token (maskgit_plus), or the widest margin to the next one",
            choices=("origin", "maskgit_plus", "topk_margin", "entropy"),
        ),
        Option("alg_temp", 0.0, "above 0 cells are drawn from the softmax of their ranks over it", low=0),
    ),
    departures=(
        "steps that would fill nothing are skipped, which changes no text's probability (released code: "
        "they are run)",
        "the schedule holds for a block; Dream's canvas is one block",
        "top_p is 1 unless it is given (Dream: 0.95)",
    ),
)
RANKS = {"maskgit_plus": "confidence", "topk_margin": "margin", "entropy": "entropy"}


@cache
def left_after(cells: int, steps: int, eps: float) -> tuple[int, ...]:
    """How many holes each step that fills any leaves, of so many cells; the last number is 0."""
    left, after = cells, []
    for i in range(steps):
        share = 1.0 if i == steps - 1 else (1 - eps) / (steps - i * (1 - eps))  # 1 - s/t
        if int(left * share):
            left -= int(left * share)
            after.append(left)
    return tuple(after)


def when(steps: int, eps: float) -> torch.Tensor:
    """[steps] log probability that "origin" fills a cell in each step: what is left of t falls to s there."""
    even = (1 - eps) / steps
    weights = [even] * (steps - 1) + [even + eps]
    return torch.tensor([log(w) if w else -torch.inf for w in weights], dtype=torch.float64)


def luck(answer: Answer, chance: Chance) -> Chance:
    """Where the order's draws come from."""
    return chance.of("order")


def dream(setting: Setting, steps: int, eps: float, alg: str, alg_temp: float) -> Method:
    def ranked(seen: Seen, order: Chance, cells: int) -> list[int]:
        left = left_after(cells, steps or cells, eps)
        count = len(seen) - max(n for n in left if n < len(seen))
        score = confidence(RANKS[alg])(seen)
        if not alg_temp:
            return surest(score)[:count]
        return drawn(torch.from_numpy(score).double() / alg_temp, count, seen, order)

    def method(canvas: Canvas) -> Flow:
        step: dict[
            tuple[int, int], int
        ] = {}  # (row, cell) -> when "origin" fills it; drawn anew it is the same

        def due(seen: Seen, order: Chance, cells: int) -> list[int]:
            for cell in seen.cells:
                if (seen.row, cell) not in step:
                    step[seen.row, cell] = order.pick(when(steps or cells, eps), seen.row, cell)
            times = [step[seen.row, cell] for cell in seen.cells]
            return [i for i, time in enumerate(times) if time == min(times)]

        picked = due if alg == "origin" else ranked
        for block in canvas.blocks():
            while any(holes := canvas.holes(block)):
                seen, order = yield Ask(both(look(setting.greedy), luck), at=holes)
                yield fill(seen, [picked(s, order, len(block)) if s.cells else [] for s in seen])

    return method

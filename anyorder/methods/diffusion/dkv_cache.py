"""dKV-Cache (arXiv:2505.15781): a token's state is kept once a run has read the token in its place.

States change most when a hole becomes a token, and little afterwards. So the run after a commit still
computes the tokens just written, and only from then on they are kept.

- decode: holes are always computed. Another method chooses the cells.
- greedy: holes are kept too. They are filled in a random order that is known beforehand, so a run has to
  compute only what was just written, what is to be written next, and a few holes near that.
"""

from collections.abc import Sequence
from functools import cache

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import EXACT, Answer, Ask, Cells, Flow, Method, Reader
from anyorder.errors import UserError
from anyorder.filling import Seen, fill, look
from anyorder.methods.diffusion.random_order import drawn
from anyorder.reuse import Moment, Rule, keeping

CARD = Card(
    name="dkv_cache",
    family="diffusion",
    paper="arXiv:2505.15781",
    exact=False,
    summary="keeps the states of tokens that were read once; or of holes too, filled in a random order",
    cost="up to 1 run per step, of what were holes two steps ago; greedy: of a few around the next ones",
    headline="2 to 10 times the speed on LLaDA 8B and Dream 7B",
    canvas="cells",
    attention=("full",),
    options=(
        Option("variant", "decode", "what is kept: tokens, or holes too", choices=("decode", "greedy")),
        Option("then", "", "decode: the method that chooses cells, by its spec; empty: static"),
        Option("refresh", 0, "every so many steps of a block all is computed; 0: decode 8, greedy 2", low=0),
        Option("count", 1, "greedy: cells that a step fills", low=1),
        Option("window", 4, "greedy: holes near each cell to be filled that are computed with it", low=0),
    ),
    departures=(
        "neighbours are counted for each cell that a step fills, and may lie in blocks behind (ours)",
        "greedy with refresh=1 writes the text of random_order, whose draws it shares",
    ),
)


def dkv_cache(setting: Setting, variant: str, then: str, refresh: int, count: int, window: int) -> Method:
    """Raises UserError for an inner method where the order is the cache's own."""
    if variant == "decode":
        return keeping(setting.method(then or "static"), decode(refresh or 8))
    if then:
        raise UserError(
            f"option then is {then!r} and variant greedy fills cells in an order of its own; allowed is a "
            "method with variant decode; leave one of the two out"
        )
    return greedy(setting, count, refresh or 2, window)


def decode(refresh: int) -> Rule:
    """Step i of a block trusts what step i-1 read as tokens; steps 0, 1 and every `refresh`-th nothing."""

    def kept(moment: Moment) -> list[int]:
        if moment.step == 0 or (moment.step + 1) % refresh == 0:
            return []
        return [i for i, token in enumerate(moment.text) if token != moment.mask]

    return kept


@cache
def planned(greedy: bool, count: int) -> Reader:
    """For each live row what is said of its holes, and which of them each step to come fills."""

    def plan(seen: Seen, chance: Chance) -> list[list[int]]:
        steps = []
        while len(seen):
            picks = drawn(torch.zeros(len(seen), dtype=torch.float64), count, seen, chance)
            steps.append([seen.cells[i] for i in picks])
            seen = seen.part([i for i in range(len(seen)) if i not in picks])
        return steps

    def read(answer: Answer, chance: Chance) -> list[tuple[Seen, list[list[int]]]]:
        return [(seen, plan(seen, chance.of("order"))) for seen in look(greedy)(answer, chance)]

    return read


def near(cells: Sequence[int], holes: Sequence[int], most: int) -> set[int]:
    """Up to `most` holes around each of the cells, by turns the next to its left and to its right."""
    found: set[int] = set()
    for cell in cells:
        left, right = [i for i in reversed(holes) if i < cell], [i for i in holes if i > cell]
        turns = [(2 * k, i) for k, i in enumerate(left)] + [(2 * k + 1, i) for k, i in enumerate(right)]
        found |= {i for _, i in sorted(turns)[:most]}
    return found


def greedy(setting: Setting, count: int, refresh: int, window: int) -> Method:
    def kept(canvas: Canvas, now: Cells, then: Cells) -> Cells:
        """What the next step, which fills `then`, leaves out; this one fills `now`."""
        keep, last = [], max(map(len, canvas.rows))
        for row, written, wanted in zip(canvas.holes(range(last)), now, then, strict=True):
            holes = [i for i in row if i not in {*written, *wanted}]
            out = {*written, *wanted, *near(wanted, holes, window)}
            keep.append([i for i in range(last) if i not in out])
        return keep

    def method(canvas: Canvas) -> Flow:
        for block in canvas.blocks():
            plans: list[list[list[int]]] = []
            step = 0
            while any(holes := canvas.holes(block)):
                if step % refresh == 0:
                    both = yield Ask(planned(setting.greedy, count), at=holes)
                    seen, plans = [s for s, _ in both], [p for _, p in both]
                else:
                    seen = yield Ask(look(setting.greedy), at=[plan[0] if plan else [] for plan in plans])
                now = [plan[0] if plan else [] for plan in plans]
                plans = [plan[1:] for plan in plans]
                then = [plan[0] if plan else [] for plan in plans]
                step += 1
                fresh = step % refresh == 0 or not any(then)
                picks = [[s.cells.index(i) for i in cells] for s, cells in zip(seen, now, strict=True)]
                yield fill(seen, picks, EXACT if fresh else kept(canvas, now, then))

    return method

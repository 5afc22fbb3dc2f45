"""Prophet (arXiv:2508.19982): stop asking once the answer no longer hangs in the balance.

Any policy fills the canvas. After each run the gap between the two highest logits is averaged over the cells
of the answer. A wide gap early on, a narrower one later, is enough: then all holes become text at once, each
its likeliest token.

    share of cells filled   below 1/3   below 2/3   beyond
    gap that is enough            7.5         5.0      2.5
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Cells, Commit, Lines, Method
from anyorder.filling import Seen, fill, look
from anyorder.law import Step, Turn, Turned, turned

CARD = Card(
    name="prophet",
    family="diffusion",
    paper="arXiv:2508.19982",
    exact=False,
    summary="any policy, until the gap between first and second choice is wide; then everything at once",
    headline="up to 3.4 times fewer steps, LLaDA-8B and Dream-7B; 97 % of GSM8K is settled half-way",
    cost="up to 1 run per cell",
    canvas="cells",
    attention=("full",),
    options=(
        Option("then", "static", "policy that fills the canvas: name/option=value"),
        Option("region", 0, "cells at the canvas' end that are the answer; 0: all", low=0),
        Option(
            "gaps", "mean", "of the answer's holes: their mean, or the lowest", choices=("mean", "lowest")
        ),
        Option("early", 7.5, "gap of logits that is enough in the first third"),
        Option("middle", 5.0, "in the second"),
        Option("late", 2.5, "and in the last; inf: never"),
    ),
    departures=(
        "progress is the share of cells filled (the paper: of steps, which few policies know beforehand)",
        "the answer's region is the canvas' end, as in a template like `<200>The answer is <5>`; without one "
        "all holes are it (ours)",
        "only holes are averaged; an answer without holes is settled (the paper: filled cells as well)",
        "the lowest gap in place of the mean (ours)",
        "a canvas of several rows is filled once every row may be (ours)",
    ),
)


def own(answer: Answer, at: Cells) -> Answer:
    """What an answer says of the first cells of each row alone, those that the policy asked for."""
    index: list[int] = []
    rows: list[Lines] = []
    for lines, cells in zip(answer.rows, at, strict=True):
        rows.append(replace(lines, start=len(index), cells=tuple(cells)))
        index += range(lines.start, lines.start + len(cells))
    hidden = None if answer.hidden is None else answer.hidden[index]
    layers = {layer: states[index] for layer, states in answer.layers.items()}
    return replace(answer, logits=answer.logits[index], rows=tuple(rows), hidden=hidden, layers=layers)


def watched(ask: Ask, canvas: Canvas) -> Ask:
    """The policy's ask and, of the same run, what the net says of all other holes. Its reply is the policy's
    and a `Seen` of every hole of each row."""
    assert ask.at is not None, "a policy asks for cells"
    holes = canvas.holes(range(canvas.prompt, max(map(len, canvas.rows))))
    at = [[*mine, *(i for i in all_ if i not in mine)] for mine, all_ in zip(ask.at, holes, strict=True)]

    def read(answer: Answer, chance: Chance) -> tuple[Any, list[Seen]]:
        seen = look(True)(answer, chance)
        left = zip(seen, map(set, holes), strict=True)
        every = [s.part([i for i, cell in enumerate(s.cells) if cell in open_]) for s, open_ in left]
        return ask.read(own(answer, ask.at or ()), chance), every

    return replace(ask, read=read, at=at)


def rule(gaps: str, region: int, thresholds: Sequence[float]) -> Callable[[Seen, int, int], bool]:
    """Whether a row of so many cells, the first at a position, is settled by what is said of its holes."""
    measure: Any = {"mean": np.mean, "lowest": np.min}[gaps]

    def settled(seen: Seen, first: int, cells: int) -> bool:
        holes = [i for i, cell in enumerate(seen.cells) if cell >= first + max(0, cells - (region or cells))]
        gap = float(measure(seen.gap[holes])) if holes else np.inf
        threshold = thresholds[3 * (cells - len(seen)) // cells]
        return gap >= threshold < np.inf

    return settled


def prophet(
    setting: Setting, then: str, region: int, gaps: str, early: float, middle: float, late: float
) -> Method:
    policy: Method = setting.method(then)
    settled = rule(gaps, region, (early, middle, late))

    def begin(canvas: Canvas) -> Turn:
        def turn(step: Step) -> Turned:
            if isinstance(step, Commit):
                return (yield step)
            asks = list(step) if isinstance(step, tuple) else [step]
            about = next((i for i, ask in enumerate(asks) if ask.net == "target" and not ask.fill), None)
            if about is not None:  # of what is asked now, the ask that assumes nothing
                asks[about] = watched(asks[about], canvas)
            replies = list((yield tuple(asks)))
            if about is not None:
                replies[about], seen = replies[about]
                if all(settled(s, canvas.prompt, len(canvas.rows[s.row]) - canvas.prompt) for s in seen):
                    yield fill(seen, [range(len(s)) for s in seen])  # which is the end
            return tuple(replies) if isinstance(step, tuple) else replies[0]

        return turn

    return turned(policy, begin)

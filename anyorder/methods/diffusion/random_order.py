"""Random order (LLaDA's "random" remasking, arXiv:2502.09992): a fixed number of cells anywhere.

What the order of a policy is worth shows against this one. The cells are drawn, without putting back, from
the holes of a block; their tokens are the likeliest, or drawn above temperature 0. The same seed gives the
same order.
"""

from functools import cache

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Flow, Method, Reader
from anyorder.filling import Seen, look, unmask

CARD = Card(
    name="random_order",
    family="diffusion",
    paper="arXiv:2502.09992",
    exact=False,
    summary="a fixed number of cells at random places each step",
    cost="1 run per step",
    canvas="cells",
    options=(Option("count", 1, "cells that a step fills", low=1),),
    departures=(
        "a number of cells per step, not of steps per block; the last step of a block fills the rest",
    ),
)


def drawn(score: Tensor, count: int, seen: Seen, chance: Chance) -> list[int]:
    """Indices of so many of a row's asked cells, drawn one after the other from softmax(score), score [n].

    A draw is indexed by how many holes of the block were left to choose from, so none is used twice.
    """
    left = list(range(len(seen)))
    picks: list[int] = []
    while left and len(picks) < count:
        at = chance.pick(score[left], seen.row, seen.cells[0], len(left))
        picks.append(left.pop(at))
    return sorted(picks)


@cache
def anywhere(greedy: bool, count: int) -> Reader:
    """What policies see, of cells at random places alone."""

    def read(answer: Answer, chance: Chance) -> list[Seen]:
        order, alike = chance.of("order"), torch.zeros(len(answer.logits), dtype=torch.float64)
        return [s.part(drawn(alike, count, s, order)) for s in look(greedy)(answer, chance)]

    return read


def random_order(setting: Setting, count: int) -> Method:
    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, anywhere(setting.greedy, count), lambda seen: range(len(seen)))

    return method

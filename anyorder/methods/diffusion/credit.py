"""CreditDecoding (arXiv:2510.06133): tokens that keep being the likeliest are believed sooner.

Each cell keeps a credit C for tokens. Every step all of it decays, C <- beta C, and the likeliest token
earns p ** gamma, p its probability. A step fills the cells that are sure enough under
logits + alpha ln(1 + C), at least the surest. A new block starts without credit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import likeliest
from anyorder.core.types import Answer, Ask, Flow, Method
from anyorder.filling import Seen, at_least_one, fill, look

CARD = Card(
    name="credit",
    family="diffusion",
    paper="arXiv:2510.06133",
    exact=False,
    summary="a threshold that steadily likeliest tokens pass sooner",
    cost="1 run per step",
    headline="up to 5.5 times faster",
    canvas="cells",
    options=(
        Option("threshold", 0.9, "cells at least so probable are filled; above 1: one cell a step", low=0),
        Option(
            "alpha", 0.7, "what credit adds to logits: alpha ln(1 + credit); 0: the threshold alone", low=0
        ),
        Option("beta", 0.8, "the share of its credit that a token keeps from step to step", low=0, high=1),
        Option("gamma", 0.2, "the likeliest token earns its probability to this power", low=0),
    ),
    departures=(
        "the threshold's value is that of Fast-dLLM (ours)",
        "above temperature 0 tokens are drawn with credit, and it is earned under the tempered law",
    ),
)

Credits = Mapping[tuple[int, int], Mapping[int, float]]  # (row, cell) -> token: credit


class Rule(NamedTuple):
    """How credit is counted."""

    alpha: float
    beta: float
    gamma: float

    def read(
        self, answer: Answer, chance: Chance, credits: Credits, greedy: bool
    ) -> tuple[list[Seen], Credits]:
        """What a policy sees with credit, and the credits after this step."""
        laws = answer.logits.softmax(-1, dtype=torch.promote_types(answer.logits.dtype, torch.float32))
        top = likeliest(answer.logits)
        earned = (laws.gather(1, top[:, None])[:, 0] ** self.gamma).tolist()
        best, logits = top.tolist(), answer.logits.clone()
        after: dict[tuple[int, int], dict[int, float]] = {}
        for lines in answer.rows:
            for line, cell in enumerate(lines.cells or (), lines.start):
                mine = {t: self.beta * c for t, c in credits.get((lines.row, cell), {}).items()}
                mine[best[line]] = mine.get(best[line], 0.0) + earned[line]
                more = self.alpha * torch.log1p(torch.tensor(list(mine.values()), dtype=torch.float64))
                logits[line, list(mine)] += more.to(logits)
                after[lines.row, cell] = mine
        return look(greedy)(replace(answer, logits=logits), chance), after


def credit(setting: Setting, threshold: float, alpha: float, beta: float, gamma: float) -> Method:
    rule = Rule(alpha, beta, gamma)

    def method(canvas: Canvas) -> Flow:
        for block in canvas.blocks():
            credits: Credits = {}
            while any(holes := canvas.holes(block)):

                def read(
                    answer: Answer, chance: Chance, had: Credits = credits
                ) -> tuple[list[Seen], Credits]:
                    return rule.read(answer, chance, had, setting.greedy)

                seen, credits = yield Ask(read, at=holes)
                ready = [[i for i in range(len(s)) if s.sure[i] >= threshold] for s in seen]
                yield fill(seen, [at_least_one(s, r) if s.cells else [] for s, r in zip(seen, ready)])

    return method

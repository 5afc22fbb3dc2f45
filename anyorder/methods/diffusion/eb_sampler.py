"""Entropy-bounded unmasking (EB-Sampler, arXiv:2505.24857): cells at once while little can hang on little.

Cells in order of an error proxy; a step fills the longest beginning U of them whose entropies, less the
greatest of them, sum to at most gamma. The sum bounds how far the joint law of U can be from the product of
its marginals.
"""

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Seen, confidence, look, surest, unmask

CARD = Card(
    name="eb_sampler",
    family="diffusion",
    paper="arXiv:2505.24857",
    exact=False,
    summary="as many cells as a bound on their joint entropy allows",
    cost="1 run per step",
    headline="2 to 3 times fewer steps on code and mathematics at equal quality",
    canvas="cells",
    options=(
        Option(
            "gamma", 0.001, "nats that the cells of a step may hang on each other; below 0: one cell a step"
        ),
        Option(
            "order",
            "entropy",
            "who comes first: the least entropy, the likeliest token, or the widest margin to the next one",
            choices=("entropy", "confidence", "margin"),
        ),
    ),
    departures=("entropies are of the tempered and shaped law",),
)


def eb_sampler(setting: Setting, gamma: float, order: str) -> Method:
    score = confidence(order)

    def policy(seen: Seen) -> list[int]:
        ranked = surest(score(seen))
        entropy = seen.entropy[ranked]
        bound = np.cumsum(entropy) - np.maximum.accumulate(entropy)  # never falls along the order
        return ranked[: max(1, int((bound <= gamma).sum()))]

    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), policy)

    return method

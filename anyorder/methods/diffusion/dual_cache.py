"""Dual cache (Fast-dLLM, arXiv:2505.22618): while a block is being filled, all around it stays as it is.

The first run of a block computes the whole row; the next ones compute the block alone. With a margin they
also compute some cells on both sides of it, whose states drift most (vicinity refresh of dInfer,
arXiv:2510.08666).
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.types import Method
from anyorder.reuse import Moment, keeping

CARD = Card(
    name="dual_cache",
    family="diffusion",
    paper="arXiv:2505.22618",
    exact=False,
    summary="another method that computes what stands around a block once a block",
    cost="up to 1 run per step, as the method inside; but for a block's first, of its cells alone",
    headline="LLaDA, 1024 tokens, 8 examples in the prompt: 27.6 times the speed, with the threshold method",
    canvas="cells",
    attention=("full", "block"),
    options=(
        Option("then", "threshold", "the method that chooses cells, by its spec: name/option=value"),
        Option(
            "margin", 0, "cells before and behind the block that are computed with it (dInfer: 16)", low=0
        ),
    ),
    departures=(
        "a block is the cells between the first and the last that the method inside asked about since the "
        "block before was full (ours: methods choose their blocks)",
        "no runs over the whole row to warm up, of which dInfer does about four",
    ),
)


def dual_cache(setting: Setting, then: str, margin: int) -> Method:
    def dual(moment: Moment) -> list[int]:
        near = range(moment.block.start - margin, moment.block.stop + margin)
        return [i for i in range(len(moment.text)) if i not in near]

    return keeping(setting.method(then), dual)

"""Superposed drafts (Superposed Decoding, arXiv:2405.18400, as a drafter): a tree of k branches whose net ran
once for each depth.

A draft net that writes k branches one by one runs k cells for each depth. Here one cell reads the mixture of
the branches' last tokens and extends them all. The target judges the tree, so its text stays its own.
"""

from collections.abc import Generator
from typing import Any

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.drafter import Draft, Drafter, Trees
from anyorder.superposition import Superposition, superpose
from anyorder.trees import branches

CARD = Card(
    name="superposed_draft",
    family="speculative",
    paper="arXiv:2405.18400",
    exact=True,
    kind="point",
    summary="several branches from one run of a draft net for each depth, whose cell mixes their last tokens",
    headline="none: the paper does not draft with it",
    cost="1 target run per commit, up to 1 + drafts * tokens cells; `tokens` runs of the draft net",
    options=(
        Option("drafter", "early_exit", "whose net drafts; with options as in early_exit/layer=6"),
        Option("drafts", 3, "branches", low=1, high=64),
        Option("tokens", 3, "tokens of a branch", low=1, high=64),
        Option("candidates", 9, "tokens that may extend a branch", low=1, high=1024),
        Option("sharpness", 1.0, "temperature of the law that candidates are weighed by", low=0.001, high=10),
    ),
    departures=(
        "the paper returns its drafts unjudged; here the target judges them (ours)",
        "no n-gram model tells the branches apart, and the law is not sharpened: branches are those that the "
        "mixed cells hold likeliest, one after the other (ours)",
        "with an ordinary model's early exit few guesses hold (1.06 tokens a run on the embedded model)",
    ),
)


def superposed_draft(
    setting: Setting, drafter: str, drafts: int, tokens: int, candidates: int, sharpness: float
) -> Drafter:
    net = setting.make(drafter).net
    if not net:
        raise ValueError(
            f"drafter is {drafter!r}, which has no net that could read a mixture; allowed are drafters of a "
            "net, like early_exit and draft_model; choose one of them"
        )
    how = Superposition(drafts, candidates, sharpness)

    def upto(most: int) -> Draft:
        def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
            found = yield from superpose(canvas, how, min(tokens, most), net=net)
            return tuple(branches([one.token for one in mine], CARD.name) for mine in found)

        return draft

    return Drafter(upto(tokens), net=net, upto=upto)

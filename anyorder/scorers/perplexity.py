"""Minus the perplexity: exp of a token's mean surprise. -1: a text that could not have been another."""

import math
from collections.abc import Sequence

from anyorder.card import Card, Setting
from anyorder.scorers.likelihood import known
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="perplexity",
    family="scorer",
    paper="",
    exact=False,
    summary="minus the perplexity of the text under the target",
    cost="",
    nets=(),
)
MOST = 700.0  # exp of more is no float


def perplexity(setting: Setting) -> Scorer:
    def score(prefixes: Sequence[Prefix]) -> list[float]:
        each = [known(prefix, "perplexity") for prefix in prefixes]
        return [-math.exp(min(-sum(logp) / max(len(logp), 1), MOST)) for logp in each]

    return Scorer(score, "perplexity", seconds=float("inf"), bounds=(float("-inf"), -1.0))

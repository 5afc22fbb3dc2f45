"""The same number for every text: what a search does without a reward."""

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Scorer

CARD = Card(
    name="constant",
    family="scorer",
    paper="",
    exact=False,
    summary="the same number for every text",
    cost="",
    nets=(),
    options=(Option("value", 0.0, "the number"),),
)


def constant(setting: Setting, value: float) -> Scorer:
    return Scorer(lambda prefixes: [value] * len(prefixes), "constant", seconds=float("inf"))

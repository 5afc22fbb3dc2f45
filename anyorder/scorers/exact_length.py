"""log q that a text has exactly so many tokens, as an oracle knows it: 0 while it still can, else -inf.

The end of text is not counted. A text cut by the budget ends there, so a budget of `tokens` will do.
"""

from collections.abc import Sequence
from math import inf

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="exact_length",
    family="scorer",
    paper="arXiv:2311.08817",
    exact=False,
    summary="0 while the text can have so many tokens, else minus infinity",
    cost="",
    nets=(),
    options=(Option("tokens", 0, "the text's tokens, the end of text not counted", low=0, needed=True),),
)


def exact_length(setting: Setting, tokens: int) -> Scorer:
    if not tokens:
        raise ValueError("exact_length has tokens=0; allowed is 1 or more; give tokens=20")

    def log_q(prefix: Prefix) -> float:
        size = sum(token not in setting.eos for token in prefix.token)
        return 0.0 if size == tokens or (size < tokens and not prefix.ended) else -inf

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        return [log_q(prefix) for prefix in prefixes]

    return Scorer(score, "exact_length", seconds=inf, bounds=(-inf, 0.0))

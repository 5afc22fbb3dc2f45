"""log q that a text is neither empty nor a loop: strength * log(1 - share of n-grams that stood before).

A text that ended without a word is certainly empty. A loop of 10 tokens that fills 100 repeats 9 of 10
n-grams, and log q is strength * log(0.1). Nothing is trained; a rule stands for the paper's classifier.
"""

from collections.abc import Sequence
from math import inf, log

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="not_degenerate",
    family="scorer",
    paper="arXiv:2311.08817",
    exact=False,
    summary="how little of the text repeats itself, in nats; minus infinity for empty texts",
    cost="",
    nets=(),
    options=(
        Option("n", 3, "length of the n-grams", low=1, high=16),
        Option("strength", 10.0, "nats for each factor of e by which what is new shrinks", low=0, high=1e6),
    ),
)


def not_degenerate(setting: Setting, n: int, strength: float) -> Scorer:
    def log_q(prefix: Prefix) -> float:
        text = [token for token in prefix.token if token not in setting.eos]
        if prefix.ended and not setting.spell(text).strip():
            return -inf
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        return strength * log(len(set(grams)) / len(grams)) if grams else 0.0

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        return [log_q(prefix) for prefix in prefixes]

    return Scorer(score, "not_degenerate", seconds=inf, bounds=(-inf, 0.0))

"""Minus the distance of the text's length from a wanted one, or from the nearer end of a range.

While the text has not ended only what is too much counts, for what is too little may still come.
"""

from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="length",
    family="scorer",
    paper="",
    exact=False,
    summary="minus the distance from a wanted length",
    cost="",
    nets=(),
    options=(
        Option("words", "", "wanted words: a number like 20 or a range like 15-25"),
        Option("characters", "", "wanted characters, written alike"),
        Option("tokens", "", "wanted tokens, the end of text not counted, written alike"),
    ),
)


def span(name: str, wanted: str) -> tuple[int, int]:
    """Least and most. Raises ValueError.

    >>> span("words", "15-25")
    (15, 25)
    """
    low, dash, high = wanted.partition("-")
    try:
        least, most = int(low), int(high if dash else low)
    except ValueError:
        least, most = 1, 0
    if not 0 <= least <= most:
        raise ValueError(f"length got {name}={wanted}; allowed is a number or least-most; give {name}=15-25")
    return least, most


def length(setting: Setting, words: str, characters: str, tokens: str) -> Scorer:
    given = {"words": words, "characters": characters, "tokens": tokens}
    spans = {name: span(name, wanted) for name, wanted in given.items() if wanted}
    if len(spans) != 1:
        raise ValueError("length takes one of words, characters and tokens; give for example words=20")
    ((unit, (least, most)),) = spans.items()

    def size(prefix: Prefix) -> int:
        if unit == "tokens":
            return sum(token not in setting.eos for token in prefix.token)
        text = setting.spell(prefix.token)
        return len(text.split()) if unit == "words" else len(text)

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        sizes = [size(prefix) for prefix in prefixes]
        short = [max(least - n, 0) if p.ended else 0 for n, p in zip(sizes, prefixes, strict=True)]
        return [-float(max(n - most, missing)) for n, missing in zip(sizes, short, strict=True)]

    return Scorer(score, "length", seconds=float("inf"), bounds=(float("-inf"), 0.0))

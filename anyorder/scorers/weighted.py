"""Several scorers together: each one's number times its weight, added up (DeAL's h = Σ w R).

    weighted/of=(keywords/words=rain,sun)+0.5*(length/tokens=30)

A scorer without a number counts once. Scorers with options stand in parentheses; a comma joins as + does.
"""

import re
from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="weighted",
    family="scorer",
    paper="arXiv:2402.06147",
    exact=False,
    summary="a sum of other scorers, each with its weight",
    cost="",
    nets=(),
    options=(Option("of", "", "scorers and their weights: 2*(first)+0.5*(second)", needed=True),),
)
WEIGHT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*\*")


def terms(of: str) -> list[tuple[float, str]]:
    """Weights and specs of a sum. Raises ValueError.

    >>> terms("2*(keywords/words=a,b)+constant")
    [(2.0, '(keywords/words=a,b)'), (1.0, 'constant')]
    """
    inside, parts = 0, [""]
    for letter in of:
        inside += (letter == "(") - (letter == ")")
        if letter in "+," and not inside and parts[-1].strip():  # else it is a number's sign
            parts.append("")
        else:
            parts[-1] += letter
    weights = [WEIGHT.match(part) for part in parts]
    specs = [part[w.end() if w else 0 :].strip() for part, w in zip(parts, weights, strict=True)]
    if not all(specs):
        raise ValueError(
            f"weighted got of={of!r}; allowed is 2*(scorer)+0.5*(scorer); name a scorer each time"
        )
    return [(float(w[1]) if w else 1.0, spec) for w, spec in zip(weights, specs, strict=True)]


def weighted(setting: Setting, of: str) -> Scorer:
    parts: list[tuple[float, Scorer]] = [(w, setting.scorer(spec)) for w, spec in terms(of) if w]

    def score(prefixes: Sequence[Prefix]) -> list[float]:
        each = [(w, scorer(prefixes)) for w, scorer in parts]
        return [sum(w * said[i] for w, said in each) for i in range(len(prefixes))]

    name = " + ".join(f"{w:g} {scorer.name}" for w, scorer in parts)
    ends = [[w * end for end in scorer.bounds] for w, scorer in parts if scorer.bounds]
    bounds = (sum(map(min, ends)), sum(map(max, ends))) if len(ends) == len(parts) else None
    hidden = any(scorer.hidden for _, scorer in parts)
    return Scorer(score, name, hidden, seconds=float("inf"), bounds=bounds)  # each part has its own time

"""How many guesses pay, from what a run costs.

A run over k cells takes cost(k) seconds: the end of the text is one cell, each guess one more. With n guesses
it commits one token of the target's own and those guesses that hold. The best n is the one with the most
expected tokens per second; that may be none. Of several that are as good the smallest is taken.

>>> best_prefix([0.5, 0.25], lambda k: 1.0)  # guesses that cost nothing: all
2
>>> best_prefix([0.5, 0.25], lambda k: float(k))  # a guess costs as much as a run: none
0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

Price = Callable[[int], float]  # cells of a run -> its seconds


def best_prefix(worth: Sequence[float], cost: Price) -> int:
    """How many of the first guesses to judge: the n with the largest (1 + worth[0] + ... + worth[n-1]) /
    cost(1 + n). `worth`: the chance that a guess becomes text, in falling order."""
    gains = [tokens / cost(1 + n) for n, tokens in enumerate(accumulate(worth, initial=1.0))]
    return gains.index(max(gains))


def best_chain(accept: float, cost: Price, most: int) -> int:
    """How many tokens to draft, `most` at most, if each is accepted with the same chance once those before it
    are: the n with the largest (1 + a + ... + a^n) / cost(1 + n)."""
    return best_prefix([accept**n for n in range(1, most + 1)], cost)

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

import heapq
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from anyorder.card import Setting

Price = Callable[[int], float]  # cells of a run -> its seconds
Ranked = Sequence[tuple[int, float]]  # tokens and the chance of each, likeliest first
LEAST = 0.02  # guesses worth less are not looked at
PRIOR, MEMORY = 30.0, 300.0  # guesses a first estimate counts for; guesses that are remembered
PATIENCE = 8  # guesses that do not pay by themselves and may yet lead to some that do


def best_prefix(worth: Sequence[float], cost: Price) -> int:
    """How many of the first guesses to judge: the n with the largest (1 + worth[0] + ... + worth[n-1]) /
    cost(1 + n). `worth`: the chance that a guess becomes text, in falling order."""
    gains = [tokens / cost(1 + n) for n, tokens in enumerate(accumulate(worth, initial=1.0))]
    return gains.index(max(gains))


def best_chain(accept: float, cost: Price, most: int) -> int:
    """How many tokens to draft, `most` at most, if each is accepted with the same chance once those before it
    are: the n with the largest (1 + a + ... + a^n) / cost(1 + n)."""
    return best_prefix([accept**n for n in range(1, most + 1)], cost)


@dataclass
class Counts:
    """How often guesses of a kind held, with a first estimate as if it stood for PRIOR of them."""

    held: dict[Hashable, list[float]] = field(default_factory=dict)  # kind -> guesses that held, guesses

    def chance(self, kind: Hashable, first: float) -> float:
        held, guessed = self.held.get(kind, (0.0, 0.0))
        return (held + PRIOR * first) / (guessed + PRIOR)

    def add(self, kind: Hashable, held: bool) -> None:
        count = self.held.setdefault(kind, [0.0, 0.0])
        count[0] += held
        count[1] += 1
        if count[1] > MEMORY:
            count[:] = count[0] / 2, count[1] / 2


class Grown(NamedTuple):
    """A tree of guesses of the size that pays."""

    token: list[int]
    parent: list[int]
    worth: float  # tokens that a run over it is expected to commit, the target's own included
    seconds: float  # of that run


def grow(after: Callable[[tuple[int, ...]], Ranked], cost: Price, most: int, share: float = 0.0) -> Grown:
    """The likeliest guesses, best first, as many as give the most tokens per second.

    `after(path)`: what may follow a path of guesses, likeliest first, with chances. The worth of a guess is
    the product of the chances on its path. `share`: tokens that others get of the same run anyway.
    """
    token: list[int] = []
    parent: list[int] = []
    heap: list[tuple[float, int, int, int, tuple[int, ...]]] = []
    worth = 1.0
    best, size, at_best = (share + worth) / cost(1), 0, worth
    least = max(LEAST, best * (cost(2) - cost(1)))  # what is worth less, and all behind it, cannot pay
    _offer(heap, after(()), 1.0, -1, (), least)
    while heap and len(token) < most:
        minus, _, guess, node, path = heapq.heappop(heap)
        token.append(guess)
        parent.append(node)
        worth -= minus
        rate = (share + worth) / cost(1 + len(token))
        if rate > best:
            best, size, at_best = rate, len(token), worth
        elif len(token) - size >= PATIENCE:
            break
        longer = (*path, guess)
        _offer(heap, after(longer), -minus, len(token) - 1, longer, least)
    return Grown(token[:size], parent[:size], at_best, cost(1 + size))


def _offer(
    heap: list[Any], ranked: Ranked, worth: float, node: int, path: tuple[int, ...], least: float
) -> None:
    """Put children into the heap; together they are worth no more than their parent."""
    left = 1.0
    for guess, said in ranked:
        chance = min(said, left)
        left -= chance
        if worth * chance >= least:
            heapq.heappush(heap, (-worth * chance, len(path), guess, node, path))
        if left <= 0:
            break


GUESS = 0.04  # of a run's cost, what each guess adds where nothing was measured
STEP = 64  # tokens of context that are told apart


def price_of(setting: Setting, context: int, net: str = "target") -> tuple[Price, int]:
    """What a run costs by the cells of one request with so many tokens of text, and how many others share it.

    The target's last run tells how many they are and how many cells they take.
    """
    load, cost = setting.load(), setting.cost if net == "target" else setting.costs.get(net)
    batch = max(1, load.requests)
    others = load.cells / batch * (batch - 1)
    near = context // STEP * STEP + STEP

    def price(k: int) -> float:
        if cost is None:
            return 1 + GUESS * (others + k)
        return cost((others + k) / batch, batch, near)

    return price, batch - 1

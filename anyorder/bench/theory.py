"""What writing dependent cells together must cost (ParallelBench, arXiv:2510.04767, section 3), as code.

Let Y be drawn uniformly from the valid answers to a prompt X. A net that knows every cell's law exactly, and
writes a set S of cells at once, draws them as if they were independent. Its expected distance (KL) from the
truth is then at least the conditional total correlation

    C(Y_S | X, Y_before) = sum_{i in S} H(Y_i | X, Y_before) - H(Y_S | X, Y_before),

and over the steps of a run these floors add up. Where C is 0, as for every task with one answer, everything
may be written at once, and whoever fails there has himself to blame. Everything here is found by enumerating
answers; `CLOSED` has the closed forms of the list tasks, and the tests hold the two equal.

>>> round(dependence([(1, 2), (2, 1)]), 3)  # two cells that must differ: ln 2 nats
0.693
>>> sampled([(1, 2), (2, 1)])  # two draws at once differ half of the time
0.5
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import combinations
from math import comb, factorial, fsum, log, prod
from typing import Any, NamedTuple

Answers = Sequence[Sequence[Hashable]]  # [answers][cells] all that are valid, each as likely as the others
Sets = Sequence[Sequence[int]]  # cells that are written together, one set for each step


class Figures(NamedTuple):
    """A task's figures when all cells are written in one step."""

    dependence: float  # C(Y|X), nats
    sampled: float  # chance of a valid answer when every cell is drawn from its own law
    greedy: float  # the same when every cell takes its likeliest token, the lowest of several


def entropy(weights: Iterable[float]) -> float:
    """Entropy in nats of a law given by weights of any sum."""
    positive = [weight for weight in weights if weight > 0]
    total = fsum(positive)
    return log(total) - fsum(weight * log(weight) for weight in positive) / total


def dependence(answers: Answers) -> float:
    """C(Y|X) in nats: what writing all cells at once costs at least."""
    return floor(answers, [range(len(answers[0]))])


def floor(answers: Answers, sets: Sets) -> float:
    """The sum over steps t of C(Y_{S_t} | X, Y_{S_<t}) in nats; 0 if each set is a single cell."""
    parts: list[float] = []
    before: tuple[int, ...] = ()
    for cells in sets:
        for group in _alike(answers, before).values():
            alone = fsum(entropy(Counter(y[i] for y in group).values()) for i in cells)
            joint = entropy(Counter(tuple(y[i] for i in cells) for y in group).values())
            parts.append(len(group) / len(answers) * (alone - joint))
        before = (*before, *cells)
    return fsum(parts)


def sampled(answers: Answers, sets: Sets | None = None) -> float:
    """The chance of a valid answer if the cells of each set are drawn at once, each from its own law given
    what was drawn before. Without sets: all in one step."""
    chance, before = [1.0] * len(answers), tuple[int, ...]()
    index: dict[Any, int] = {tuple(y): k for k, y in enumerate(answers)}
    for cells in [range(len(answers[0]))] if sets is None else sets:
        for group in _alike(answers, before).values():
            laws = {i: Counter(y[i] for y in group) for i in cells}
            for y in group:
                chance[index[tuple(y)]] *= prod(laws[i][y[i]] / len(group) for i in cells)
        before = (*before, *cells)
    return fsum(chance)


def greedy(answers: Answers, sets: Sets | None = None) -> tuple[Any, ...]:
    """What is written if the cells of each set take their likeliest tokens, the lowest of several. It is
    valid if it is one of the answers; where none fits any more, the rest stays None."""
    text: list[Any] = [None] * len(answers[0])
    for cells in [range(len(answers[0]))] if sets is None else sets:
        fit = [y for y in answers if all(t is None or t == y[i] for i, t in enumerate(text))]
        for i in cells if fit else ():
            count = Counter(y[i] for y in fit)
            most: list[Any] = [token for token, times in count.items() if times == max(count.values())]
            text[i] = min(most)
    return tuple(text)


def in_random_order(answers: Answers, size: int) -> float:
    """The chance of a valid answer if cells are drawn `size` at a time, in an order drawn by lot."""
    found = [sampled(answers, sets) for sets in orders(range(len(answers[0])), size)]
    return fsum(found) / len(found)


def orders(cells: Sequence[int], size: int) -> Iterator[list[tuple[int, ...]]]:
    """Every way to take the cells `size` at a time, one after the other."""
    if not cells:
        yield []
        return
    for first in combinations(cells, min(size, len(cells))):
        for rest in orders([i for i in cells if i not in first], size):
            yield [first, *rest]


def figures(answers: Answers) -> Figures:
    """All three by enumeration."""
    valid = greedy(answers) in {tuple(y) for y in answers}
    return Figures(dependence(answers), sampled(answers), float(valid))


def _alike(answers: Answers, cells: Sequence[int]) -> dict[tuple[Hashable, ...], list[Sequence[Hashable]]]:
    """Answers by what stands in some cells."""
    groups: dict[tuple[Hashable, ...], list[Sequence[Hashable]]] = {}
    for y in answers:
        groups.setdefault(tuple(y[i] for i in cells), []).append(y)
    return groups


# closed forms -----------------------------------------------------------------------------------------------


def replaced(n: int) -> Figures:
    """replace_random: C goes to 1, one draw at once to 1/e; the likeliest tokens copy the list."""
    return Figures((n - 1) * log(n / (n - 1)), (1 - 1 / n) ** (n - 1), float(n < 3))


def removed(n: int) -> Figures:
    """remove_random: cell i has item i if one behind it left, else item i + 1."""
    alone = fsum(entropy((i + 1, n - 1 - i)) for i in range(n - 1))
    return Figures(alone - log(n), factorial(n - 1) * 2 ** (n - 1) / n ** (n - 1), 1.0)


def inserted(n: int) -> Figures:
    """insert_random: cell i has the word, item i or item i - 1."""
    alone = fsum(entropy((1, n - i, i)) for i in range(n + 1))
    return Figures(alone - log(n + 1), factorial(n) * 2**n / (n + 1) ** (n + 1), 0.0)


def shuffled(n: int) -> Figures:
    """shuffle: of all orders one is not allowed. k items at home: comb(n, k) times the derangements of the
    rest."""
    home, away = factorial(n - 1) - 1, factorial(n - 1)
    alone = n * entropy((home, *[away] * (n - 1)))
    total = home + (n - 1) * away
    ways = fsum(comb(n, k) * deranged(n - k) * home**k * away ** (n - k) for k in range(n))
    return Figures(alone - log(factorial(n) - 1), ways / total**n, 0.0)


def deranged(n: int) -> int:
    """Orders of n items that leave none at home.

    >>> [deranged(n) for n in range(6)]
    [1, 0, 1, 2, 9, 44]
    """
    return sum((-1) ** k * factorial(n) // factorial(k) for k in range(n + 1))


def latin(n: int = 4) -> Figures:
    """A Latin square of order 4: each of 16 cells is uniform, 576 of 4^16 grids are squares."""
    assert n == 4, "the number of Latin squares is known here for order 4"
    return Figures(16 * log(4) - log(576), 576 / 4**16, 0.0)


def fixed(n: int) -> Figures:
    """Tasks with one answer."""
    return Figures(0.0, 1.0, 1.0)


CLOSED: dict[str, Callable[[int], Figures]] = {
    "copy": fixed, "reverse": fixed, "sort": fixed, "insert_index": fixed, "remove_index": fixed,
    "replace_index": fixed, "shuffle": shuffled, "insert_random": inserted, "remove_random": removed,
    "replace_random": replaced, "latin": latin, "sudoku": fixed,
}  # fmt: skip

"""Latin squares of order 4 (ParallelBench's latin_square_n4, arXiv:2510.04767), row by row in 16 cells.

Any of the 576 squares of the four symbols is right.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations, product

from anyorder.tasks.lists import Example

TASK = "latin"
ORDER = 4
POOL = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")  # the paper's symbols


def _squares() -> tuple[tuple[int, ...], ...]:
    rows = list(permutations(range(ORDER)))
    found: list[tuple[tuple[int, ...], ...]] = [()]
    for _ in range(ORDER):
        tried = ((*above, row) for above, row in product(found, rows))
        found = [square for square in tried if all(len(set(c)) == len(c) for c in zip(*square))]
    return tuple(sum(square, ()) for square in found)


SQUARES = _squares()  # 576 of 16 numbers 0..3, row by row


def draw(rng: random.Random, pool: Sequence[str] = POOL) -> Example:
    """Four symbols, and one of their squares; all are as likely (ours; the paper shuffles cyclic squares)."""
    symbols = tuple(rng.sample(pool, ORDER))
    return Example(TASK, symbols, None, None, tuple(symbols[i] for i in rng.choice(SQUARES)))


def accepted(example: Example, answer: Sequence[str]) -> bool:
    """Whether 16 cells are a Latin square of the example's symbols."""
    if len(answer) != ORDER * ORDER:
        return False
    rows = [answer[i : i + ORDER] for i in range(0, ORDER * ORDER, ORDER)]
    return all(sorted(line) == sorted(example.items) for line in (*rows, *zip(*rows)))


def answers(example: Example) -> list[tuple[str, ...]]:
    """All 576 squares."""
    return [tuple(example.items[i] for i in square) for square in SQUARES]

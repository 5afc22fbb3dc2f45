"""Sudokus of 4 x 4 with 12 givens and one solution (ParallelBench's sudoku_n4_12, arXiv:2510.04767).

A puzzle is 16 cells, row by row; a blank is "_". Rows, columns and the four boxes hold 1, 2, 3 and 4 each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from anyorder.tasks.latin import ORDER, SQUARES
from anyorder.tasks.lists import Example

TASK = "sudoku"
BLANK = "_"
BLANKS = 4
CELLS = ORDER * ORDER
BOXES = [[4 * (2 * i + k // 2) + 2 * j + k % 2 for k in range(4)] for i in range(2) for j in range(2)]
GRIDS = tuple(
    tuple(str(i + 1) for i in square)
    for square in SQUARES
    if all(len({square[i] for i in box}) == ORDER for box in BOXES)
)  # all 288


def draw(rng: random.Random) -> Example:
    """A grid, all as likely, with four blanks, all as likely of those that leave one solution (ours)."""
    while True:
        grid, blanks = rng.choice(GRIDS), rng.sample(range(CELLS), BLANKS)
        shown = tuple(BLANK if i in blanks else grid[i] for i in range(CELLS))
        if len(solutions(shown)) == 1:
            return Example(TASK, shown, None, None, grid)


def solutions(cells: Sequence[str]) -> list[tuple[str, ...]]:
    """Every full grid that has these cells; blanks may be anything."""
    return [grid for grid in GRIDS if all(a in (b, BLANK) for a, b in zip(cells, grid, strict=True))]


def accepted(example: Example, answer: Sequence[str]) -> bool:
    """Whether an answer is the solution."""
    return tuple(answer) == example.gold


def answers(example: Example) -> list[tuple[str, ...]]:
    """The one solution."""
    return solutions(example.items)

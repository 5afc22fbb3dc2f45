"""Training batches of the tasks, drawn as arrays: many questions and right answers a millisecond.

The laws are those of `lists.draw`, `latin.draw` and `sudoku.draw`. Rows of one `Group` have prompts and
canvases of one length, so nothing is padded: an answer is followed by END to the end of its canvas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial, log
from typing import NamedTuple

import numpy as np

from anyorder.tasks import latin, lists, sudoku
from anyorder.tasks.vocabulary import END, IDS, NAMES, STOP

UNIFORM = dict.fromkeys(lists.TASKS, 0.1)
HARD = dict(zip(("insert_random", "remove_random", "shuffle", "sort"), (1 / 6,) * 4)) | {
    "replace_random": 1 / 3
}
CANVAS = 8  # what most rows have
WIDE = (7, 10, 12, 16, 24, 32, 48, 64)  # what others have
PUZZLE = 16
NAME_IDS = np.array([IDS[name] for name in NAMES])
SYMBOL_IDS = np.array([IDS[symbol] for symbol in latin.POOL])
SQUARES = np.array(latin.SQUARES)  # [576, 16]
GRIDS = np.array([[IDS[cell] for cell in grid] for grid in sudoku.GRIDS])  # [288, 16]


@dataclass(frozen=True)
class Mix:
    """What a batch is made of."""

    tasks: Mapping[str, float]  # share of each list task among the lists
    puzzles: float = 0.12  # share of rows: half Latin squares, half sudokus
    wide: float = 0.08  # share of rows, which have a canvas of another length


class Group(NamedTuple):
    """Rows of one shape."""

    prompt: np.ndarray  # [R, P] token ids
    answer: np.ndarray  # [R, G] token ids
    floor: np.ndarray  # [R] nats: the answer's entropy, given the prompt


def batch(rows: int, mix: Mix, source: np.random.Generator) -> list[Group]:
    """Groups that have about so many rows in all. Their shapes return: kernels are made for each shape."""
    puzzles, wide = round(rows * mix.puzzles / 2), round(rows * mix.wide)
    found = [_puzzles(task, puzzles, source) for task in (latin.TASK, sudoku.TASK)] if puzzles else []
    kinds: dict[int, dict[tuple[str, int], float]] = defaultdict(dict)  # length of the prompt -> tasks
    for task, share in mix.tasks.items():
        for n in lists.LENGTHS:
            kinds[2 + n + lists.words(task) + lists.indices(task)][task, n] = share / len(lists.LENGTHS)
    shares = np.array([sum(kind.values()) for kind in kinds.values()])
    counts = np.round((rows - 2 * puzzles - wide) * shares / shares.sum()).astype(int)
    some = list(kinds.values())
    found += [_lists(kind, count, CANVAS, source) for kind, count in zip(some, counts.tolist()) if count]
    if wide:
        kind = some[source.choice(len(some), p=shares / shares.sum())]
        found.append(_lists(kind, wide, int(source.choice(WIDE)), source))
    return found


def _lists(
    kind: Mapping[tuple[str, int], float], rows: int, canvas: int, source: np.random.Generator
) -> Group:
    """Lists with prompts of one length; kind is task and length of the list -> share."""
    people = NAME_IDS[source.random((rows, len(NAMES))).argsort(1)[:, : max(lists.LENGTHS) + 1]]
    share = np.array(list(kind.values()))
    parts = []
    for (task, n), count in zip(kind, source.multinomial(rows, share / share.sum()).tolist()):
        one, people = people[:count], people[count:]
        parts.append(lines(task, n, one, canvas, source))
    return Group(*(np.concatenate(part) for part in zip(*parts)))


def lines(task: str, n: int, people: np.ndarray, canvas: int, source: np.random.Generator) -> Group:
    """A list task with n of the people [R, > n] of each row; the next one is the word."""
    rows = len(people)
    items, word = people[:, :n], people[:, n : n + 1]
    inserted, removed = task.startswith("insert"), task.startswith("remove")
    size = n + inserted - removed
    k = source.integers(n + inserted, size=(rows, 1))
    cells = np.arange(size)[None]  # [1, size]
    if task == "shuffle":
        order = np.argsort(source.random((rows, n)), 1)
        while (same := (order == np.arange(n)).all(1)).any():
            order[same] = np.argsort(source.random((int(same.sum()), n)), 1)
        answer = np.take_along_axis(items, order, 1)
    elif lists.words(task) or removed:
        origin = np.clip(cells - inserted * (cells > k) + removed * (cells >= k), 0, n - 1)
        answer = np.take_along_axis(items, origin, 1)
        answer = answer if removed else np.where(cells == k, word, answer)
    else:
        answer = {"copy": items, "reverse": items[:, ::-1], "sort": np.sort(items, 1)}[task]
    head = [np.full((rows, 1), IDS[task])] + [word] * lists.words(task)
    head += [IDS["0"] + k] * lists.indices(task)
    floor = log(factorial(n) - 1) if task == "shuffle" else log(n + inserted) * task.endswith("random")
    return _group(np.concatenate([*head, items], 1), answer, canvas, floor)


def _puzzles(task: str, rows: int, source: np.random.Generator) -> Group:
    """Latin squares or sudokus, seven of eight times on a canvas that they fill."""
    canvas = PUZZLE if source.random() < 7 / 8 else int(source.choice((24, 32, 64)))
    if task == latin.TASK:
        shown = SYMBOL_IDS[source.random((rows, len(SYMBOL_IDS))).argsort(1)[:, : latin.ORDER]]
        answer = np.take_along_axis(shown, SQUARES[source.integers(len(SQUARES), size=rows)], 1)
        floor = log(len(SQUARES))
    else:
        shown = answer = np.zeros((0, sudoku.CELLS), int)
        while len(answer) < rows:
            grid = GRIDS[source.integers(len(GRIDS), size=rows)]
            blank = source.random(grid.shape).argsort(1) < sudoku.BLANKS
            fits = ((grid[:, None] == GRIDS[None]) | blank[:, None]).all(2).sum(1) == 1  # of 288 grids
            puzzle = np.where(blank, IDS[sudoku.BLANK], grid)
            shown, answer = np.concatenate([shown, puzzle[fits]]), np.concatenate([answer, grid[fits]])
        shown, answer, floor = shown[:rows], answer[:rows], 0.0
    return _group(np.concatenate([np.full((rows, 1), IDS[task]), shown], 1), answer, canvas, floor)


def _group(head: np.ndarray, answer: np.ndarray, canvas: int, floor: float) -> Group:
    """With the STOP behind the prompt and END behind the answer."""
    rows, size = answer.shape
    prompt = np.concatenate([head, np.full((rows, 1), IDS[STOP])], 1)
    ends = np.full((rows, canvas - size), IDS[END])
    return Group(prompt, np.concatenate([answer, ends], 1), np.full(rows, floor))

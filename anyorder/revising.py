"""Writing again: what methods share that change cells they filled, or open them again.

Such a method hears, from one run, what the net says of a block's holes and of the cells that it filled there
before. Cells that were given with the request, by its prompt or its template, are never among them.

>>> mine = holes_of(canvas)                                 # before anything is written
>>> holes = canvas.holes(block)
>>> heard = yield hear(holes, filled(canvas, block, mine, holes), greedy=True)
>>> yield write([{s.cells[0]: s.token[0]} for s in heard.holes])    # or {cell: canvas.mask}: a hole again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Cells, Commit, Reader
from anyorder.filling import Seen, look

Mine = Mapping[int, frozenset[int]]  # row -> cells that a method may write
New = dict[int, int]  # cell -> what a commit writes there


class Heard(NamedTuple):
    """What one answer says, for each live row."""

    holes: list[Seen]
    filled: list[Seen]  # likeliest tokens, also above temperature 0: nothing is drawn
    chance: Chance  # of this step


def holes_of(canvas: Canvas) -> Mine:
    """The cells that were not given."""
    cells = range(canvas.prompt, max(map(len, canvas.rows)))
    return {h: frozenset(c) for h, c in zip(canvas.live, canvas.holes(cells), strict=True)}


def filled(canvas: Canvas, cells: Sequence[int], mine: Mine, holes: Cells) -> list[list[int]]:
    """Of some cells those that the method has filled, for each live row that still has holes."""
    rows = [canvas.rows[h] if open_ else [] for h, open_ in zip(canvas.live, holes, strict=True)]
    return [
        [i for i in cells if i < len(row) and i in mine[h] and row[i] != canvas.mask]
        for h, row in zip(canvas.live, rows, strict=True)
    ]


def reopened(canvas: Canvas, cells: Iterable[int]) -> New:
    """Holes at cells."""
    assert canvas.mask is not None, "only an any-order canvas has holes"
    return dict.fromkeys(cells, canvas.mask)


def hear(
    holes: Cells,
    others: Cells,
    greedy: bool,
    *,
    step: int | None = None,
    blind: bool = False,
    fill: Sequence[New] = (),
    why: str = "",
) -> Ask:
    """One run about holes and other cells; the flow receives a `Heard`.

    `step`: a number of its own for every run about the block, which methods give that open cells again: a
    cell that stands among as many holes as before is still drawn afresh. `blind`: the other cells are
    answered as if each alone were a hole.
    """
    at = [[*open_, *rest] for open_, rest in zip(holes, others, strict=True)]
    read = _apart(greedy, [len(open_) for open_ in holes], step)
    return Ask(read, at=at, blind=others if blind else (), fill=tuple(fill), why=why)


def _apart(greedy: bool, counts: Sequence[int], step: int | None) -> Reader:
    """Reads each row's first cells as holes, the rest as filled."""

    def read(answer: Answer, chance: Chance) -> Heard:
        now = chance if step is None else chance.of(f"step {step}")
        seen = look(greedy=True)(answer, now)
        holes = [s.part(range(n)) for s, n in zip(seen, counts, strict=True)]
        others = [s.part(range(n, len(s))) for s, n in zip(seen, counts, strict=True)]
        if not greedy and any(counts):
            holes = look(greedy=False)(_first(answer, counts), now)
        return Heard(holes, others, now)

    return read


def _first(answer: Answer, counts: Sequence[int]) -> Answer:
    """The answer about each row's first cells alone."""
    rows, index = [], list[int]()
    for lines, n in zip(answer.rows, counts, strict=True):
        rows.append(replace(lines, start=len(index), cells=(lines.cells or ())[:n]))
        index += range(lines.start, lines.start + n)
    return Answer(answer.logits[index], tuple(rows))


def trust(canvas: Canvas, seen: Seen) -> np.ndarray:
    """[n] the probability of what stands in each cell."""
    held = [canvas.rows[seen.row][i] for i in seen.cells]
    return seen.law()[range(len(held)), held].numpy(force=True) if held else np.zeros(0)


def write(new: Sequence[New]) -> Commit:
    """Writes tokens at cells, for each live row."""
    cells = [sorted(row) for row in new]
    return Commit([[row[i] for i in at] for row, at in zip(new, cells, strict=True)], at=cells)


class Edits:
    """How often each cell was rewritten: a cell may be so `most` times, so that rewriting comes to an end."""

    def __init__(self, most: int):
        self.most = most
        self.count: dict[tuple[int, int], int] = {}
        self.held = 0  # cells of the last step that were not rewritten any more

    def step(self) -> None:
        self.held = 0

    def allowed(self, row: int, wanted: New) -> New:
        """Of a step's rewritings of a row those that are still allowed, which from now on count."""
        free = {i: t for i, t in wanted.items() if self.count.get((row, i), 0) < self.most}
        for i in free:
            self.count[row, i] = self.count.get((row, i), 0) + 1
        self.held += len(wanted) - len(free)
        return free

    @property
    def why(self) -> str:
        """For traces, where the bound was hit."""
        held = self.held if self.most else 0
        return f"cells that stay, rewritten {self.most} times already: {held}" if held else ""

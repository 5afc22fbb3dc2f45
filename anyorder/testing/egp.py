"""The extremely greedy parallel oracle (Learn2PD, arXiv:2509.25188): how few runs a policy could take.

It knows the text to be written, and in each step fills exactly those cells of the block whose likeliest token
is the text's. Where none is, it copies the rest of the block to move on. A bound and a teacher, not a method:
its steps tell what there is to gain, and what it sees on the way is what Learn2PD's filter learns from. No
policy that errs nowhere takes fewer steps, as long as what is right stays right when more is written; where
it does not, waiting may pay, and a policy that waits can be a step quicker.

>>> (record,) = play([Request(canvas, egp(text), {"target": net})])
>>> record.request.runs["target"]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit, Flow, Method
from anyorder.filling import Seen, look


class Lesson(NamedTuple):
    """A block in one step."""

    sure: np.ndarray  # [n] probability of each cell's likeliest token, filled or not
    right: np.ndarray  # [n] bool: that token is the text's
    hole: np.ndarray  # [n] bool


def egp(text: Sequence[int], note: Callable[[Lesson], None] | None = None) -> Method:
    """Writes a text that was generated before; `note` is told of every step. Behind an end of text anything
    goes on as the end of text. Raises AssertionError for a text that is shorter than the canvas otherwise."""

    def method(canvas: Canvas) -> Flow:
        assert len(canvas.rows) == 1, "the oracle writes one row"
        room = len(canvas.rows[0]) - canvas.prompt
        ends = len(text) < room
        assert not ends or (text and text[-1] in canvas.eos), "the text ends before the canvas does"
        whole = [*canvas.rows[0][: canvas.prompt], *text, *[text[-1]] * (room - len(text))]
        for block in canvas.blocks():
            while holes := [i for row in canvas.holes(block) for i in row]:
                cells = [i for i in block if i < len(canvas.rows[0])]
                seen: list[Seen] = yield Ask(look(greedy=True), at=[cells])
                right = np.array([t == whole[i] for t, i in zip(seen[0].best, cells, strict=True)])
                hole = np.array([i in holes for i in cells])
                if note is not None:
                    note(Lesson(seen[0].sure, right, hole))
                fill = [i for i, ok in zip(cells, right & hole, strict=True) if ok] or holes
                yield Commit([[whole[i] for i in fill]], at=[fill])

    return method

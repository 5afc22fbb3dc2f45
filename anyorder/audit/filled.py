"""Re-decoding of any-order texts: every commit of a method against the steps of static unmasking.

Static unmasking fills the surest cell first, so its text hangs on the order. From the canvas a method left,
the plain loop's own rule is asked for its next step, again and again, until it has written what the method
wrote in one commit. A cell or token it would not have written there is a divergence; then the commit is made
true as the method made it, and the next one is judged from there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch

from anyorder.audit.redecode import Parted, Reading
from anyorder.audit.ties import asked, first_difference, forget
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Answer, Ask, Commit, Net, Written

Step = dict[int, int]  # position -> token
PACKED = 4  # canvases side by side in the runs that noise is measured with


class Next(NamedTuple):
    """What static unmasking does with a canvas."""

    step: Step
    answer: Answer  # shaped, of the asked cells


class Static:
    """Static unmasking after one prompt, one step a run. States that texts have in common are run once."""

    def __init__(self, net: Net, request: Request):
        """`request`: of method static, never run."""
        self.net, self.request = net, request
        self.known: dict[tuple[int, ...], Next] = {}
        forget([net])

    @property
    def prompt(self) -> int:
        return self.request.canvas.prompt

    def canvas(self, row: Sequence[int]) -> Canvas:
        """The request's canvas with other cells."""
        made = copy.copy(self.request.canvas)
        made.rows, made.ended, made.score = [list(row)], [None], [0.0]
        return made

    def next(self, row: Sequence[int]) -> Next:
        """The step that follows a row with holes."""
        key = tuple(row)
        if key not in self.known:
            canvas = self.canvas(row)
            flow = self.request.method(canvas)
            ask = flow.send(None)
            assert isinstance(ask, Ask), "static unmasking asks before it writes"
            answer = self.request.shape(asked(self.net, ask, canvas), canvas)
            commit = flow.send(ask.read(answer, self.request.chance))
            flow.close()
            assert isinstance(commit, Commit), "and writes what it read"
            assert commit.at is not None, "at cells"
            self.net.follow(canvas, None)
            self.known[key] = Next(dict(zip(commit.at[0], commit.token[0], strict=True)), answer)
        return self.known[key]

    @cached_property
    def noise(self) -> float:
        """The largest change of a likeliest token's log-probability, or of the difference of two, between
        runs of one canvas and of several, over the states known so far."""
        rows, worst = list(self.known), 0.0
        for start in range(0, len(rows), PACKED):
            group = rows[start : start + PACKED]
            pairs = [(self._ask(row), self.canvas(row)) for row in group]
            forget([self.net])
            for row, answer in zip(group, self.net(pairs), strict=True):
                if isinstance(answer, Answer):
                    said = self.request.shape(answer, self.canvas(row)).logits.log_softmax(-1)
                    was = self.known[row].answer.logits.log_softmax(-1)
                    top = was.topk(2).indices
                    change = said.gather(1, top) - was.gather(1, top)
                    worst = max(worst, float(change.abs().max()), float(change.diff().abs().max()))
        return worst

    def _ask(self, row: Sequence[int]) -> Ask:
        (lines,) = self.known[tuple(row)].answer.rows
        return Ask(lambda answer, chance: None, at=[list(lines.cells or ())])

    def text(self) -> list[int]:
        """The whole text of static unmasking."""
        row = list(self.request.canvas.rows[0])
        while not self.over(row):
            for cell, token in self.next(row).step.items():
                row[cell] = token
        return self.cut(row)

    def over(self, row: Sequence[int]) -> bool:
        """Whether the text has to end: no hole is left, or none before an end-of-text or a stop string."""
        canvas = self.request.canvas
        written = self._written(row)
        if len(written) == len(row) - self.prompt or any(token in canvas.eos for token in written):
            return True
        return canvas.stop is not None and canvas.stop(written, len(written)) is not None

    def cut(self, row: Sequence[int]) -> list[int]:
        """The text of a row that is over."""
        canvas, written = self.request.canvas, self._written(row)
        end = next((i + 1 for i, token in enumerate(written) if token in canvas.eos), len(written))
        most = canvas.stop(written[:end], end) if canvas.stop else None
        return written[: end if most is None else most]

    def _written(self, row: Sequence[int]) -> list[int]:
        """Generated tokens before the first hole."""
        cells = list(row[self.prompt :])
        mask = self.request.canvas.mask
        return cells[: cells.index(mask)] if mask in cells else cells


def refill(plain: Static, commits: Sequence[Written], text: Sequence[int]) -> Reading:
    """Judge a text by the commits that wrote it."""
    found, row = Reading(), list(plain.request.canvas.rows[0])
    for commit in commits:
        todo: Step = dict(zip(commit.at[0], commit.token[0], strict=True)) if commit.at else {}
        while todo and not plain.over(row):
            step, answer = plain.next(row)
            if not step.items() <= todo.items():
                found.parted.append(parted(plain, step, todo, answer))
                break
            for cell in step:
                row[cell] = todo.pop(cell)
        for cell, token in todo.items():  # what was not static's, and what a cut takes away again
            row[cell] = token
    if not plain.over(row):
        found.parted.append(Parted(len(text), next(iter(plain.next(row).step.values())), None, None))
    elif (place := first_difference(plain.cut(row), text)) is not None:
        ends = [side[place] if place < len(side) else None for side in (plain.cut(row), text)]
        found.parted.append(Parted(place, ends[0], ends[1], None))
    return found


def parted(plain: Static, step: Step, todo: Step, answer: Answer) -> Parted:
    """How far static's step is from the method's: the tokens of a cell, or the cells that were taken."""
    cell = next(cell for cell, token in step.items() if todo.get(cell) != token)
    (lines,) = answer.rows
    laws = answer.logits.log_softmax(-1)
    said = {at: laws[lines.start + i] for i, at in enumerate(lines.cells or ())}
    other = cell if cell in todo else next((at for at in todo if at not in step and at in said), None)
    place = cell - plain.prompt
    if other is None:
        stray = next((at for at in todo if at not in step), cell)
        return Parted(place, step[cell], todo.get(stray), None, stray - plain.prompt)
    apart = float((said[cell][step[cell]] - said[other][todo[other]]).abs())
    where = None if other == cell else other - plain.prompt
    finite = torch.isfinite(torch.tensor(apart))
    return Parted(place, step[cell], todo[other], apart if finite else None, where)


def compare(plain: Static, text: Sequence[int]) -> Reading:
    """Where a whole text is not static unmasking's, for methods that claim nothing and may rewrite cells."""
    true, found = plain.text(), Reading()
    place = first_difference(true, text)
    if place is not None:
        ends = [side[place] if place < len(side) else None for side in (true, text)]
        found.parted.append(Parted(place, ends[0], ends[1], None))
    return found

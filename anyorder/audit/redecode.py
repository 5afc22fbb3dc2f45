"""Re-decoding: every token that a method wrote against the plain loop's choice after the tokens before it.

The method's text is fed back to the net, one cell a run. After each beginning of it the plain loop's token
is chosen anew, so one divergence does not hide the next, and a text is judged by what it was written after.
Where a text has to end is decided here from its tokens alone, not by the canvas that cut it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anyorder.audit.ties import asked, forget, lead
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.readers import likeliest
from anyorder.core.types import Answer, Ask, Commit, Lines, Net, Shape


@dataclass(frozen=True)
class Parted:
    """A place where a text is not what the plain loop writes. Token None: the text is over."""

    position: int  # generated tokens before it; of any-order texts the cell, counted from the prompt's end
    expected: int | None
    emitted: int | None
    margin: float | None  # logits by which the plain loop prefers its own; None: nothing to measure
    where: int | None = None  # any-order texts: the cell that was written, where it is another one

    @property
    def end(self) -> bool:
        """A text that ended where the plain loop's goes on, or the other way round."""
        return None in (self.expected, self.emitted)


@dataclass
class Reading:
    """What re-decoding a text found."""

    parted: list[Parted] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)  # of drawn tokens: where in the law they lie, 0 to 1


class Plain:
    """A net after one prompt, read one cell at a time. What texts have in common is run once."""

    def __init__(self, net: Net, prompt: Sequence[int]):
        self.net, self.prompt = net, list(prompt)
        self.known: dict[tuple[int, ...], Tensor] = {}  # generated tokens -> logits [V] of the next
        forget([net])

    def along(self, text: Sequence[int], shape: Shape) -> Iterator[Tensor]:
        """Shaped logits [V] after text[:0], text[:1], ..., and all of it, each run when it is asked for."""
        canvas = Canvas(self.prompt, len(text) + 1)
        try:
            for token in [*text, 0]:  # the last one ends the canvas, so that the net keeps its cells
                line = self._line(canvas)[None]
                answer = Answer(line, (Lines(0, 0, len(canvas.rows[0])),))
                yield shape(answer, canvas).logits[0]
                self._write(canvas, [token])
        finally:
            if not canvas.done:
                self._write(canvas, [0] * (len(text) + 1 - len(canvas.generated())))
            self.net.follow(canvas, None)

    def _line(self, canvas: Canvas) -> Tensor:
        beginning = tuple(canvas.generated())
        if beginning not in self.known:
            answer = asked(self.net, Ask(lambda answer, chance: None), canvas)
            self.known[beginning] = answer.logits[0].detach().float().cpu()
        return self.known[beginning]

    def _write(self, canvas: Canvas, tokens: list[int]) -> None:
        step = Commit([tokens])
        canvas.write(step)
        self.net.follow(canvas, step)


def over(canvas: Canvas, text: Sequence[int]) -> bool:
    """Whether a text has to end here: its budget is full, it ends with end-of-text or holds a stop string."""
    if len(text) >= canvas.budget or (text and text[-1] in canvas.eos):
        return True
    if canvas.stop is None:
        return False
    spelt = canvas.stop.tokenizer.decode(list(text), skip_special_tokens=True)  # type: ignore[attr-defined]
    return any(stop in spelt for stop in canvas.stop.stops)  # type: ignore[attr-defined]


def reread(plain: Plain, request: Request, text: Sequence[int], temperature: float) -> Reading:
    """Judge a text. `request`: the plain loop's own, never run: its shape, its draws, its ends."""
    found, lines = Reading(), plain.along(text, request.shape)
    for place in range(len(text) + 1):
        emitted = text[place] if place < len(text) else None
        if over(request.canvas, text[:place]):
            if emitted is not None:
                found.parted.append(Parted(place, None, emitted, None))
            break
        line, position = next(lines), len(plain.prompt) + place
        expected = chosen(line, position, temperature, request)
        if emitted is None:
            found.parted.append(Parted(place, expected, None, None))
            break
        if temperature:
            found.ranks.append(rank(line, emitted, request.chance, position))
        if expected != emitted:
            apart = margin(line, position, expected, emitted, temperature, request)
            found.parted.append(Parted(place, expected, emitted, apart))
    lines.close()  # type: ignore[attr-defined]
    return found


def chosen(line: Tensor, position: int, temperature: float, request: Request) -> int:
    """What the plain loop writes at a position, of shaped logits [V]."""
    if temperature:
        return request.chance.pick(line, 0, position)
    return int(likeliest(line[None]))


def margin(
    line: Tensor, position: int, expected: int, emitted: int, temperature: float, request: Request
) -> float | None:
    """How far apart two tokens are, in logits; None where one of them is impossible."""
    if not bool(line[[expected, emitted]].isfinite().all()):
        return None
    if not temperature:
        return float((line[expected] - line[emitted]).abs())
    return lead(line, position, expected, emitted, request.chance) * temperature


def rank(line: Tensor, token: int, chance: Chance, position: int) -> float:
    """Where a token lies in its law, tokens laid side by side from the likeliest down, at a random place of
    its own width: uniform between 0 and 1 for a draw from the law. 2 for an impossible token."""
    law = line.double().softmax(-1)
    if law[token] == 0:
        return 2.0
    before = float(law[(law > law[token]) | ((law == law[token]) & (torch.arange(len(law)) < token))].sum())
    inside = np.random.default_rng((chance.seed, position, token)).random()
    return min(1.0, before + float(law[token]) * inside)

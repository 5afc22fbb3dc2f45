"""Log-probabilities: of each written token, in the law it was taken from, and of the likeliest others.

That law is the shaped one: after bias, penalties and constraints, and above temperature 0 after temperature
and truncation. A token's law is found in the target's last answers along the guesses that became true.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.decode import Event
from anyorder.core.types import Answer, Ask, Lines
from anyorder.trace import walked

NEVER = -9999.0  # JSON has no infinity


class Chance(NamedTuple):
    """A token's text and log-probability, and the likeliest tokens of its law, best first."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


class Laws:
    """The laws of one request's tokens, row by row. `top`: how many others are told with each."""

    def __init__(self, tokenizer: Any, canvas: Canvas, top: int):
        self.tokenizer, self.canvas, self.top = tokenizer, canvas, top
        self.rows: list[dict[int, Chance]] = [{} for _ in canvas.rows]  # position -> its chance
        self.seen: list[tuple[Lines, Tensor]] = []  # since the last commit: lines and their laws [lines, V]
        self.grows = canvas.mask is None  # one row that grows at its end: its tokens are told as they come

    def watch(self, ask: Ask, answer: Answer) -> None:
        """Keep what the target says."""
        if ask.net != "target" or ask.skip:
            return
        laws = answer.logits.log_softmax(-1)
        self.seen += [(x, laws[x.start : x.start + x.count]) for x in answer.rows]

    def take(self, event: Event) -> list[Chance]:
        """The chances of what was just written, if the text grows by it."""
        parents, written = event.commit.parents, event.written
        if parents is not None:
            self.rows = [dict(self.rows[p]) for p in parents]
        self.grows &= parents is None and len(self.rows) == 1
        fresh: list[Chance] = []
        for h, tokens in enumerate(written.token):
            end = len(self.canvas.rows[h])
            places = written.at[h] if written.at else range(end - len(tokens), end)
            laws = self._laws(h if parents is None else parents[h], tokens, places)
            fresh = [self._chance(token, law) for token, law in zip(tokens, laws)]
            self.rows[h].update(zip(places, fresh))
        self.seen = []
        return [] if not self.grows else fresh[:-1] if written.ended[0] == "eos" else fresh

    def of(self, row: int) -> list[Chance]:
        """The chances of a row's tokens, in order, without the one that ended the text."""
        end = len(self.canvas.rows[row]) - (self.canvas.ended[row] == "eos")
        return [chance for place, chance in sorted(self.rows[row].items()) if place < end]

    def late(self, row: int) -> list[Chance]:
        """Of these what `take` did not tell."""
        return [] if self.grows else self.of(row)

    def _laws(self, row: int, tokens: Any, places: Any) -> list[Tensor | None]:
        mine = [one for one in self.seen if one[0].row == row]
        if not mine:
            return [None] * len(tokens)
        lines, laws = mine[-1]
        if lines.cells is not None:
            line = {cell: law for x, there in mine for cell, law in zip(x.cells or (), there)}
            return [line.get(place) for place in places]
        said = [laws[node + 1] for node in [-1, *walked(lines.tree, tokens)][: len(tokens)]]
        return [*said, *[None] * (len(tokens) - len(said))]

    def _chance(self, token: int, law: Tensor | None) -> Chance:
        if law is None:
            return Chance(self._text(token), NEVER, ())
        best: list[tuple[str, float]] = []
        if self.top:
            values, tokens = law.topk(self.top)
            best = [(self._text(t), finite(x)) for t, x in zip(tokens.tolist(), values.tolist())]
        return Chance(self._text(token), finite(float(law[token])), tuple(best))

    def _text(self, token: int) -> str:
        return self.tokenizer.decode([token])


def finite(x: float) -> float:
    return x if x > NEVER else NEVER  # not a number is NEVER, too

"""Hypotheses side by side: what the searches of the beam family share.

A step extends the rows of the canvas by single tokens. `Rule` says which extensions go on, which have ended
and are kept, and when the search is over. It is the beam search of transformers' `generate`:

- of all extensions the best `max(2, 1 + end-of-text tokens) * width` are looked at, so that `width` go on;
- one that ends counts among the ended only if fewer than `width` extensions are better than it;
- at the budget the best `width` end;
- the `width` best of those that ended are kept, and `stop` says when they are enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import ends, together, top
from anyorder.core.types import Answer, Commit, Reader

Said = list[tuple[int, float]]  # tokens that may follow and their log-probabilities


class Row(NamedTuple):
    """A hypothesis of the next step: which row it continues with what, and how good it is."""

    token: tuple[int, ...]
    parent: int
    total: float  # what the search adds up and keeps the best of
    logp: float  # log-probability of its tokens
    score: float = 0.0  # its rank among texts that ended


@dataclass(frozen=True)
class Rule:
    """Which hypotheses stay. `score` ranks what ended; a subclass may rank by something else."""

    width: int
    length_penalty: float
    stop: str  # "full", "bound" or "never"

    def score(self, row: Row, length: int) -> float:
        return row.total / length**self.length_penalty

    def reach(self, canvas: Canvas) -> int:
        """How many extensions are looked at: so many that `width` go on."""
        return max(2, 1 + len(canvas.eos)) * self.width

    def step(self, canvas: Canvas, ended: Sequence[Row], best: Iterable[Row]) -> list[Row]:
        """The rows after this step: those that ended, best first, then those that go on; none of these once
        the search is over. `ended`: rows that ended before; `best`: extensions by one token, best first."""
        done, going, length = list(ended), list[Row](), 0
        for place, row in enumerate(best):
            length = length or len(canvas.rows[row.parent]) + 1 - canvas.prompt
            row = row._replace(score=self.score(row, length))
            if length == canvas.budget or closes(canvas, row.parent, row.token[-1]):
                if place < self.width:
                    done.append(row)
            elif len(going) < self.width:
                going.append(row)
        done = sorted(done, key=lambda row: -row.score)[: self.width]
        far = canvas.budget if self.stop == "never" and self.length_penalty > 0 else length
        hope = max((self.score(row, far) for row in going), default=-inf)
        enough = len(done) == self.width and (self.stop == "full" or hope <= done[-1].score)
        return done if enough else done + going


def closes(canvas: Canvas, row: int, token: int) -> bool:
    """Whether nothing follows the token behind the row: end of text, or a stop rule."""
    stops = canvas.stop is not None and canvas.stop([*canvas.generated(row), token], 1) is not None
    return token in canvas.eos or stops


def extended(rows: Iterable[Row], said: Iterable[Said]) -> list[Row]:
    """Every row by every token that may follow it, best first."""
    more = [
        Row((token,), row.parent, row.total + logp, row.logp + logp)
        for row, after in zip(rows, said, strict=True)
        for token, logp in after
    ]
    return sorted(more, key=lambda row: -row.total)


def written(rows: Sequence[Row]) -> list[Row]:
    """The same rows after their commit: nothing to add, and each at its place on the canvas."""
    return [row._replace(token=(), parent=h) for h, row in enumerate(rows)]


def commit(rows: Sequence[Row]) -> Commit:
    return Commit(
        [row.token for row in rows],
        parents=tuple(row.parent for row in rows),
        score=tuple(row.score for row in rows),
    )


@lru_cache
def likely(count: int, also: tuple[int, ...] = ()) -> Reader:
    """For each live row the `count` likeliest next tokens, best first, and behind them those of `also`; with
    log-probabilities. What is impossible is left out."""

    @together
    def read(answer: Answer, chance: Chance) -> list[Said]:
        return _said(ends(answer), count, also)

    return read


@lru_cache
def likely_everywhere(count: int) -> Reader:
    """The same for every line of an answer about one row."""
    return lambda answer, chance: _said(answer.logits, count, ())


def _said(logits: Tensor, count: int, also: tuple[int, ...]) -> list[Said]:
    token = top(logits, min(count, logits.shape[1]))
    if also:
        token = torch.cat([token, token.new_tensor([also] * len(token))], 1)
    wide = torch.promote_types(logits.dtype, torch.float32)
    logp = logits.log_softmax(-1, dtype=wide).gather(1, token)
    pairs = zip(token.tolist(), logp.tolist(), strict=True)
    return [[(t, p) for t, p in dict(zip(*two, strict=True)).items() if p > -inf] for two in pairs]

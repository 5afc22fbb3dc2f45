"""The canvas: rows of cells. End-of-text, stop strings and budget are cut in `Canvas.write`, nowhere else.

Left to right, a row grows at its end. With a `mask` token the row has all its cells from the start, and a
commit fills holes in any order. A row that ended stays as it is, whatever a method still writes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from anyorder.core.types import Cells, Commit, Tokens, Written

Stop = Callable[[Sequence[int], int], "int | None"]
"""(generated tokens, how many of them are new) -> how many to keep if a stop rule fired, else None."""


class Canvas:
    """What is true so far, for one request.

    `rows[h]` holds prompt and generated tokens of hypothesis h; `score[h]` what its method thinks of it;
    `ended[h]` why it ended: "eos", "stop", "length", or None while it lives.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        budget: int,
        *,
        eos: Sequence[int] = (),
        stop: Stop | None = None,
        rows: int = 1,
        mask: int | None = None,
        block: int | None = None,
        given: Sequence[int] = (),
        origin: int | None = None,
    ):
        """`budget` is the most tokens a row may add. `mask` makes an any-order canvas of `budget` holes, or
        of the `given` tokens and holes. Blocks are counted from `origin`, the end of the prompt."""
        assert budget >= 1, "a canvas has room for at least one token"
        self.prompt = len(prompt)
        self.budget = budget
        self.eos = frozenset(eos)
        self.stop = stop
        self.mask = mask
        self.block = block or budget
        self.origin = self.prompt if origin is None else origin
        holes = [] if mask is None else list(given) or [mask] * budget
        self.rows: list[list[int]] = [list(prompt) + holes for _ in range(rows)]
        self.score: list[float] = [0.0] * rows
        self.ended: list[str | None] = [None] * rows
        self.closed = False

    @property
    def live(self) -> tuple[int, ...]:
        """Rows that have not ended. Asks, answers and guesses speak about these, in this order."""
        return tuple(h for h, why in enumerate(self.ended) if why is None)

    @property
    def done(self) -> bool:
        return self.closed or None not in self.ended

    def close(self) -> None:
        """No more will be written: the method returned, or the request was cancelled."""
        self.closed = True

    def generated(self, row: int = 0) -> list[int]:
        return self.rows[row][self.prompt :]

    def blocks(self) -> list[range]:
        """The cells to be filled as runs of `block` positions, left to right."""
        last = max(map(len, self.rows))
        first = self.prompt + (self.origin - self.prompt) % self.block
        starts = [self.prompt, *range(first, last, self.block)]
        return [range(a, min(b, last)) for a, b in pairwise([*starts, last]) if a < b]

    def holes(self, cells: Sequence[int]) -> list[list[int]]:
        """Of the given positions those not written yet, for each live row."""
        rows = [self.rows[h] for h in self.live]
        return [[i for i in cells if i < len(row) and row[i] == self.mask] for row in rows]

    def write(self, commit: Commit) -> Written:
        """Make a commit true, cut where the row ends."""
        assert not self.done, "a canvas that is done cannot be written"
        return self._append(commit) if commit.at is None else self._fill(commit)

    def _append(self, commit: Commit) -> Written:
        assert self.mask is None, "an any-order canvas is written at cells"
        if commit.parents is not None:
            return self._fork(commit, commit.parents)
        kept: list[Sequence[int]] = [()] * len(self.rows)
        ended = list(self.ended)
        for h, token in zip(self.live, commit.token, strict=True):
            keep, ended[h] = self._cut(self.rows[h], token)
            kept[h] = token[:keep]
            self.rows[h].extend(kept[h])
        return self._settle(kept, None, ended, commit.score)

    def _fork(self, commit: Commit, parents: Sequence[int]) -> Written:
        kept: list[Sequence[int]] = []
        ended: list[str | None] = []
        for token, parent in zip(commit.token, parents, strict=True):
            why = self.ended[parent]
            keep, why = self._cut(self.rows[parent], token) if why is None else (0, why)
            kept.append(token[:keep])
            ended.append(why)
        self.rows = [self.rows[p] + list(t) for p, t in zip(parents, kept, strict=True)]
        self.score = [self.score[p] for p in parents]
        return self._settle(kept, None, ended, commit.score)

    def _cut(self, row: Sequence[int], token: Sequence[int]) -> tuple[int, str | None]:
        """How many of the tokens may be written to the row, and why it ends with them, if it does."""
        left = self.prompt + self.budget - len(row)
        keep, why = (left, "length") if len(token) >= left else (len(token), None)
        for i, t in enumerate(token[:keep]):
            if t in self.eos:
                keep, why = i + 1, "eos"
                break
        if self.stop is not None and keep:
            most = self.stop([*row[self.prompt :], *token[:keep]], keep)
            if most is not None:
                keep, why = most - (len(row) - self.prompt), "stop"
        return keep, why

    def _fill(self, commit: Commit) -> Written:
        assert commit.at is not None
        assert self.mask is not None, "a canvas that grows at its end is not written at cells"
        assert commit.parents is None, "any-order rows do not fork"
        live, ended = self.live, list(self.ended)
        kept: list[list[int]] = [[] for _ in self.rows]
        cells: list[list[int]] = [[] for _ in self.rows]
        cuts: Sequence[int | None] = commit.cut or [None] * len(live)
        for h, token, at, cut in zip(live, commit.token, commit.at, cuts, strict=True):
            row = self.rows[h]
            if cut is not None:
                del row[cut:]
            last = len(row)
            for t, i in zip(token, at, strict=True):
                if self.prompt <= i < last:
                    row[i] = t
                    kept[h].append(t)
                    cells[h].append(i)
            hole = row.index(self.mask, self.prompt) if self.mask in row[self.prompt :] else last
            first = next((i for i in range(self.prompt, hole) if row[i] in self.eos), None)
            end = hole if first is None else first + 1
            most = self.stop(row[self.prompt : end], end - self.prompt) if self.stop else None
            if most is not None:
                del row[self.prompt + most :]
                ended[h] = "stop"
            elif first is not None:
                del row[end:]
                ended[h] = "eos"
            elif hole == last:
                ended[h] = "length"
        return self._settle(kept, cells, ended, commit.score)

    def _settle(
        self, kept: Tokens, cells: Cells | None, ended: list[str | None], score: Sequence[float] | None
    ) -> Written:
        self.ended = ended
        if score is not None:
            assert len(score) == len(self.rows), "one score for each row of the canvas"
            self.score = list(score)
        return Written(kept, cells, tuple(ended))

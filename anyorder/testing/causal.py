"""A toy causal net with a cache that follows the text: the independent witness for `anyorder.nets`.

It keeps, for each row of each canvas, the states of the text's cells, and beside them those of the guesses of
the last asks. A commit that spells a guess moves its states over; the rest is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree
from anyorder.testing.toy import attend, weights


@dataclass
class Row:
    """The computed part of one row."""

    tokens: list[int]
    states: Tensor  # [len(tokens), layers, 2, D]
    guesses: dict[tuple[int, ...], Tensor] = field(default_factory=dict)  # path beyond the text -> its state


class ToyCausal:
    """Two attention layers over what stands before.

    >>> net = ToyCausal(seed=0, vocab=13)
    >>> net.plain([1, 2, 3])  # logits [V] of the next token, computed from nothing
    """

    can = frozenset({"tree", "rows", "pack", "hidden", "layers"})

    def __init__(
        self, seed: int = 0, vocab: int = 13, *, layers: int = 2, context: int = 256, blur: float = 0.0
    ):
        self.vocab, self.context = vocab, context
        self.weights = weights(seed, vocab, layers=layers, context=context, blur=blur)
        self.forget()

    def forget(self) -> None:
        """Drop all caches. By the law this changes no answer."""
        self.held: WeakKeyDictionary[Canvas, list[Row]] = WeakKeyDictionary()

    def plain(self, text: Sequence[int]) -> Tensor:
        """Logits [V] of the token after the text, without any cache."""
        n = len(text)
        sees = torch.ones(n, n, dtype=torch.bool).tril()
        everything = list(range(n))
        states = self.weights.blank.new_zeros((n, *self.weights.blank.shape[1:]))
        return attend(self.weights, list(text), everything, everything, sees, states)[0][-1]

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        return [self._answer(ask, canvas) for ask, canvas in asks]

    def _answer(self, ask: Ask, canvas: Canvas) -> Answer:
        if canvas not in self.held:
            self.held[canvas] = [Row([], self.weights.blank) for _ in canvas.rows]
        logits: list[Tensor] = []
        layers: list[list[Tensor]] = []
        rows, start, fed = [], 0, 0
        for i, h in enumerate(canvas.live):
            tree = ask.guess[i] if ask.guess else Tree()
            at = None if ask.at is None else tuple(ask.at[i])
            said, inner, count = self._run(self.held[canvas][h], canvas.rows[h], tree, ask.skip, at)
            logits.append(said)
            layers.append(inner)
            rows.append(Lines(h, start - ask.skip, len(canvas.rows[h]), tree, at))
            start += len(said)
            fed += count
        inner = [torch.cat(parts) for parts in zip(*layers, strict=True)]
        wanted = {i: inner[i] for i in ask.layers}
        return Answer(torch.cat(logits), tuple(rows), inner[-1], wanted, fed, lambda x: x @ self.weights.head)

    def _run(
        self, row: Row, text: list[int], tree: Tree, skip: int, at: tuple[int, ...] | None
    ) -> tuple[Tensor, list[Tensor], int]:
        """Wanted lines of one row: logits, hidden states by layer; and how many cells were run."""
        assert row.tokens == text[: len(row.tokens)], "the cache does not spell the text"
        known, end = len(row.tokens), len(text)
        paths = [tuple(tree.path(i)) for i in range(len(tree))]
        token = [*text, *tree.token]
        place = [*range(end), *(end - 1 + d for d in tree.depth)]
        before = [*range(-1, end - 1), *(end + p if p >= 0 else end - 1 for p in tree.parent)]
        states = [*row.states, *[row.states.new_zeros(self.weights.blank.shape[1:])] * (end - known)]
        states += [row.guesses.get(path, torch.zeros_like(states[0])) for path in paths]
        wanted = range(end - 1 + skip, len(token)) if at is None else [cell - 1 for cell in at]
        there = {*range(known), *(end + i for i, path in enumerate(paths) if path in row.guesses)}
        fresh = [i for i in range(len(token)) if i in wanted or i not in there]
        sees = torch.zeros(len(token), len(token), dtype=torch.bool)
        for i, parent in enumerate(before):
            sees[i, i] = True
            if parent >= 0:
                sees[i] |= sees[parent]
        logits, layers, made = attend(
            self.weights, [token[i] for i in fresh], [place[i] for i in fresh], fresh, sees[fresh],
            torch.stack(states), tree.soft,
        )  # fmt: skip
        row.tokens, row.states = list(text), made[:end]
        row.guesses |= {path: made[end + i] for i, path in enumerate(paths)}
        lines = [fresh.index(i) for i in wanted]
        return logits[lines], [x[lines] for x in layers], len(fresh)

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        if canvas not in self.held:
            return
        if commit is None:
            del self.held[canvas]
            return
        old, rows = self.held[canvas], []
        parents = range(len(old)) if commit.parents is None else commit.parents
        for text, parent in zip(canvas.rows, parents, strict=True):
            row = old[parent]
            known = len(row.tokens)
            path: tuple[int, ...] = ()
            moved = []
            for t in text[known:]:
                path = (*path, t)
                if path not in row.guesses:
                    break
                moved.append(row.guesses[path])
            states = torch.cat([row.states, torch.stack(moved)]) if moved else row.states
            rows.append(Row(text[: known + len(moved)], states))
        self.held[canvas] = rows

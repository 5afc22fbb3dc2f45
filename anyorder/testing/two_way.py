"""A toy two-way net: every cell sees every other, so cells can become true in any order.

A cell's state depends on all cells; a cache can only be stale. `Commit.keep` names the cells whose states of
the last run may be used again. With nothing kept everything is computed afresh. Attention
drift (`Ask.drift`) is not watched: what is kept stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines
from anyorder.testing.toy import attend, weights


class ToyTwoWay:
    """Two attention layers over the whole canvas. The last token of the vocabulary is the mask, or, `apart`,
    the one behind it; it is never predicted.

    >>> net = ToyTwoWay(vocab=13)
    >>> canvas = Canvas([1, 2], budget=6, mask=net.mask)
    """

    can = frozenset({"rows", "pack", "hidden", "layers", "any-order", "stale", "blind", "full"})

    def __init__(
        self, seed: int = 0, vocab: int = 13, *, layers: int = 2, context: int = 256, apart: bool = False
    ):
        self.vocab, self.context, self.mask = vocab, context, vocab - 1 + apart
        self.weights = weights(seed, self.mask + 1, layers=layers, context=context)
        self.forget()

    def forget(self) -> None:
        """Drop all caches."""
        self.last: WeakKeyDictionary[Canvas, dict[int, Tensor]] = WeakKeyDictionary()  # row -> its states
        self.kept: WeakKeyDictionary[Canvas, dict[int, set[int]]] = WeakKeyDictionary()  # row -> cells
        self.tries: WeakKeyDictionary[Canvas, list[tuple[int, list[int], Tensor]]] = WeakKeyDictionary()

    def plain(self, row: Sequence[int]) -> Tensor:
        """Logits [n, V] of every cell of a row, without any cache."""
        return self._run(list(row), None, set())[0]

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        return [self._answer(ask, canvas) for ask, canvas in asks]

    def _answer(self, ask: Ask, canvas: Canvas) -> Answer:
        assert ask.at is not None, "a two-way net is asked for cells"
        assert not ask.guess, "a two-way net takes no guesses"
        last, kept = self.last.setdefault(canvas, {}), self.kept.get(canvas, {})
        logits: list[Tensor] = []
        layers: list[list[Tensor]] = []
        rows, start, fed = [], 0, 0
        fills, blinds = ask.fill or ({},) * len(canvas.live), ask.blind or ((),) * len(canvas.live)
        for h, cells, fill, blind in zip(canvas.live, ask.at, fills, blinds, strict=True):
            text = [*canvas.rows[h], *[self.mask] * (max(cells, default=0) + 1 - len(canvas.rows[h]))]
            for cell, token in fill.items():
                text[cell] = token
            stale = kept.get(h, set()) - set(cells) - set(fill)
            said, inner, states = self._run(text, last.get(h), stale)
            for i in blind:  # as if the cell alone were a hole again, seen by none of the others
                said[i] = self._beside(text, states, i)
            if fill:
                self.tries.setdefault(canvas, []).append((h, text, states))
            else:
                last[h] = states
            logits.append(said[list(cells)])
            layers.append([x[list(cells)] for x in inner])
            rows.append(Lines(h, start, len(canvas.rows[h]), cells=tuple(cells)))
            start += len(cells)
            fed += len(text) - len(stale) + len(blind)
        inner = [torch.cat(parts) for parts in zip(*layers, strict=True)]
        wanted = {i: inner[i] for i in ask.layers}
        return Answer(torch.cat(logits), tuple(rows), inner[-1], wanted, fed)

    def _beside(self, text: Sequence[int], states: Tensor, cell: int) -> Tensor:
        """[V] what a hole at a cell says that sees the states of all other cells and is seen by none."""
        others = [i for i in range(len(text)) if i != cell]
        laid = torch.cat([states[others], states.new_zeros((1, *states.shape[1:]))])
        sees = torch.ones(1, len(text), dtype=torch.bool)
        said, _, _ = attend(self.weights, [self.mask], [cell], [len(others)], sees, laid)
        return self._without_mask(said)[0]

    def _run(
        self, row: list[int], last: Tensor | None, stale: set[int]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Logits [n, V] and hidden states [n, D] by layer (zero for stale cells), and all states."""
        n = len(row)
        fresh = [i for i in range(n) if i not in stale]
        states = self.weights.blank.new_zeros((n, *self.weights.blank.shape[1:]))
        if last is not None:
            states[: len(last)] = last[:n]  # a row that grows at its end had fewer cells
        sees = torch.ones(len(fresh), n, dtype=torch.bool)
        said, inner, states = attend(self.weights, [row[i] for i in fresh], fresh, fresh, sees, states)
        said = self._without_mask(said)
        spread = [x.new_zeros(n, x.shape[1]).index_copy_(0, torch.tensor(fresh), x) for x in (said, *inner)]
        return spread[0], spread[1:], states

    def _without_mask(self, said: Tensor) -> Tensor:
        """[M, V] logits that say nothing of the mask."""
        said[:, self.mask] = -torch.inf
        return said[:, : self.vocab]

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        if commit is None:
            self.last.pop(canvas, None)
            self.kept.pop(canvas, None)
            self.tries.pop(canvas, None)
            return
        for h, text, states in self.tries.pop(canvas, []):
            if text == canvas.rows[h]:
                self.last[canvas][h] = states
        live = list(self.last.get(canvas, {}))  # the rows of the last run, in order
        keep = dict(zip(live, map(set, commit.keep))) if commit.keep else {}
        self.kept[canvas] = {h: cells for h, cells in keep.items() if h in canvas.live}

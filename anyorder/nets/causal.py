"""A causal language model as a Net.

One call answers any number of asks in one packed run: the cells of all rows and all guesses lie side by side
and a mask says who sees whom. The cache is a trie of computed cells (`nets.slots`), so prefill, draft
catch-up, rollback, forks and prefix reuse are one rule: compute the cells of the text that are not there yet.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree
from anyorder.nets.pool import Pool, by_sight, reach
from anyorder.nets.slots import ROOT, Slots

CHUNK = 128  # most cells of one run; longer catch-ups take several


class Body(Protocol):
    """The computing part of a causal net."""

    @property
    def vocab(self) -> int: ...

    @property
    def context(self) -> int: ...

    def __call__(
        self,
        ids: Tensor,
        positions: Tensor,
        sees: np.ndarray,
        pool: Pool,
        lines: Tensor,
        layers: list[int],
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Feed cells [Q]; `sees` bool [Q, S]. Logits [M, V] (float32 or wider), what the head read [M, D] and
        the named layers' states [M, D], of the cells `lines` [M]."""
        ...


@dataclass(slots=True)
class Path:
    """The computed part of a row: its tokens and their slots. The last slot is held."""

    tokens: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)

    @property
    def tip(self) -> int:
        return self.slots[-1] if self.slots else ROOT


@dataclass(slots=True)
class Held:
    """What one canvas keeps in the cache."""

    canvas: weakref.ref[Canvas]
    rows: list[Path]
    guesses: list[int] = field(default_factory=list)  # slots computed for it and not yet known to be text


@dataclass(slots=True)
class Run:
    """The cells of one run, in an order where parents come first."""

    slots: list[int] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)  # slot -> which cell of the run it is
    before: list[list[int] | None] = field(default_factory=list)  # slots seen; None: what its parent sees

    def __len__(self) -> int:
        return len(self.slots)

    def add(self, slot: int, before: list[int] | None) -> None:
        if slot not in self.place:
            self.place[slot] = len(self.slots)
            self.slots.append(slot)
            self.before.append(before)


class Causal:
    """A causal language model; text in, laws of the next token out.

    `body` computes: a stock transformers model (`nets.stock`) or a faster one of the same weights
    (`nets.lean`). Everything else is here.
    """

    can = frozenset({"tree", "rows", "hidden", "layers"})

    def __init__(self, body: Body):
        self.body = body
        self.vocab, self.context = body.vocab, body.context
        self.forget()

    def forget(self) -> None:
        """Drop every cached cell. By the law this changes no answer."""
        self.slots, self.pool = Slots(), Pool()
        self.held: dict[int, Held] = {}

    # the two verbs ---------------------------------------------------------------------------------------

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        run = Run()
        wanted: list[int] = []  # slots whose lines are wanted, all asks one after the other
        parts: list[tuple[tuple[Lines, ...], int, int]] = []  # lines, how many, cells fed
        for ask, canvas in asks:
            held, fed, start = self._open(canvas), len(run), 0
            rows: list[Lines] = []
            for i, h in enumerate(canvas.live):
                tree = ask.guess[i] if ask.guess else Tree()
                wanted += self._feed(run, held, h, canvas.rows[h], ask, tree)
                rows.append(Lines(h, start - ask.skip, len(canvas.rows[h]), tree))
                start += max(0, len(tree) + 1 - ask.skip)
            parts.append((tuple(rows), start, len(run) - fed))
        layers = sorted({layer for ask, _ in asks for layer in ask.layers})
        try:
            logits, hidden, inner = self._compute(run, wanted, layers)
        except BaseException:  # its slots would pass for computed cells
            self.forget()
            raise
        answers, first = [], 0
        for (lines, count, fed), (ask, _) in zip(parts, asks, strict=True):
            mine = slice(first, first + count)
            answers.append(
                Answer(logits[mine], lines, hidden[mine], {i: inner[i][mine] for i in ask.layers}, fed)
            )
            first += count
        return answers

    def follow(self, canvas: Canvas, commit: Commit) -> None:
        held = self.held.get(id(canvas))
        if held is None or held.canvas() is not canvas:
            return
        parents = range(len(held.rows)) if commit.parents is None else commit.parents
        rows, known = [], []  # paths, and how much of each was known before
        for h, parent in enumerate(parents):
            path = held.rows[parent]
            known.append(len(path.slots))
            if commit.parents is not None:
                path = Path(list(path.tokens), list(path.slots))
                self.slots.hold(path.tip)
            self._catch_up(path, canvas.rows[h])
            rows.append(path)
        if commit.parents is not None:
            for path in held.rows:
                self.slots.release(path.tip)
        held.rows = rows
        self._drop_guesses(held)
        moves = [
            move for path, n in zip(rows, known, strict=True) for move in self.slots.close_up(path.slots, n)
        ]
        if moves:  # a row alone lies in the order of its text, as if it had never been guessed
            self.pool.move(moves)

    # text and slots --------------------------------------------------------------------------------------

    def _open(self, canvas: Canvas) -> Held:
        """What the cache holds of the canvas. Canvases that are done make room once a new one comes."""
        held = self.held.get(id(canvas))
        if held is not None and held.canvas() is canvas:
            return held
        rows = []
        for text in canvas.rows:
            slots = self.slots.walk(ROOT, text)  # a prefix that another request left here
            rows.append(Path(text[: len(slots)], slots))
            self.slots.hold(rows[-1].tip)
        for key, old in list(self.held.items()):
            other = old.canvas()
            if other is None or other.done:
                self._drop_guesses(old)
                for path in old.rows:
                    self.slots.release(path.tip)
                del self.held[key]
        held = self.held[id(canvas)] = Held(weakref.ref(canvas), rows)
        return held

    def _drop_guesses(self, held: Held) -> None:
        for slot in reversed(held.guesses):
            self.slots.release(slot)
        held.guesses = []

    def _feed(self, run: Run, held: Held, h: int, text: list[int], ask: Ask, tree: Tree) -> list[int]:
        """Add to the run what the row still lacks and its guesses; the slots of the lines that are wanted."""
        path = held.rows[h]
        self._catch_up(path, text)
        known = len(text) - 1 if ask.skip == 0 else len(text)  # a wanted line means its cell runs (again)
        before = path.slots[:known]
        slot = before[-1] if before else ROOT
        for token in text[len(before) :]:
            slot = self._cell(run, held, slot, token, before)
        way = {-1: slot}  # node -> slot
        for node in _trunk_first(tree):
            token, slot = tree.token[node], way[tree.parent[node]]
            old = self.slots.find(slot, token)
            if old is None or node + 1 >= ask.skip:
                old = self._cell(run, held, slot, token, before)
            way[node] = old
        return [way[node] for node in range(ask.skip - 1, len(tree))]

    def _catch_up(self, path: Path, text: list[int]) -> None:
        """Make the path cover all computed cells of the text, and nothing else."""
        known = len(path.slots)
        if path.tokens != text[:known]:  # the text was changed behind our back: keep the common part only
            known = next(i for i, (a, b) in enumerate(zip(path.tokens, [*text, None])) if a != b)
        tip = path.tip
        del path.tokens[known:], path.slots[known:]
        path.slots += self.slots.walk(path.tip, text[known:])
        path.tokens += text[known : len(path.slots)]
        self.slots.hold(path.tip)
        self.slots.release(tip)

    def _cell(self, run: Run, held: Held, parent: int, token: int, before: list[int]) -> int:
        slot = self.slots.find(parent, token)
        if slot is None:
            slot = self.slots.add(parent, token)
            held.guesses.append(slot)
        if parent not in run.place and parent != (before[-1] if before else ROOT):
            before = self._way(parent)  # a guess computed by an earlier ask
        run.add(slot, None if parent in run.place else before)
        return slot

    def _way(self, slot: int) -> list[int]:
        """All slots from the first cell of the text to this one."""
        way = []
        while slot != ROOT:
            way.append(slot)
            slot = self.slots.parent[slot]
        return way[::-1]

    # computing -------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _compute(
        self, run: Run, wanted: list[int], layers: list[int]
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Lines of the wanted slots: logits [M, V] float32 or wider, hidden [M, D], layers [M, D]."""
        lines = [run.place[slot] for slot in wanted]
        pieces: list[tuple[Tensor, Tensor, dict[int, Tensor]]] = []
        index = torch.empty(len(run), dtype=torch.long)  # cell of the run -> its line among the pieces
        made = 0
        for start in range(0, len(run), CHUNK):
            stop = min(start + CHUNK, len(run))
            mine = sorted({i for i in lines if start <= i < stop})
            pieces.append(self._forward(run, start, stop, [i - start for i in mine], layers))
            index[mine] = torch.arange(made, made + len(mine))
            made += len(mine)
        order = index[lines]
        logits, hidden = torch.cat([p[0] for p in pieces]), torch.cat([p[1] for p in pieces])
        inner = {i: torch.cat([p[2][i] for p in pieces]) for i in layers}
        if order.tolist() != list(range(made)):  # shared cells or another order
            logits, hidden = logits[order], hidden[order]
            inner = {i: x[order] for i, x in inner.items()}
        return logits, hidden, inner

    def _forward(
        self, run: Run, start: int, stop: int, lines: list[int], layers: list[int]
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        slots, sees = run.slots[start:stop], self._sees(run, start, stop)
        order = by_sight(sees)
        if order != list(range(len(order))):
            slots, sees = [slots[i] for i in order], sees[order]
            lines = [order.index(i) for i in lines]
        if len(slots) == 1:  # products sum a lone row in another order than one of several: feed it twice
            slots, sees = slots * 2, sees.repeat(2, 0)
        self.pool.aim(slots, self.slots.depth)  # `top` has cut away what lies above
        return self.body(
            torch.tensor([self.slots.token[s] for s in slots]),
            torch.tensor([self.slots.depth[s] for s in slots]),
            sees,
            self.pool,
            torch.tensor(lines, dtype=torch.long),
            layers,
        )

    def _sees(self, run: Run, start: int, stop: int) -> np.ndarray:
        """Who sees whom, bool [Q, slots]."""
        cells = run.slots[start:stop]
        sees = np.zeros((len(cells), reach(self.slots.top)), dtype=bool)
        for i, slot in enumerate(cells):
            before, parent = run.before[start + i], self.slots.parent[slot]
            if before is not None:
                sees[i, before] = True
            elif run.place[parent] >= start:
                sees[i] = sees[run.place[parent] - start]
            else:  # the parent was in an earlier chunk
                sees[i, self._way(parent)] = True
            sees[i, slot] = True
        return sees


def _trunk_first(tree: Tree) -> list[int]:
    """The tree's nodes, the path of first children before all others: it then lies as text will."""
    trunk, children = [-1], tree.children()
    while trunk[-1] in children:
        trunk.append(children[trunk[-1]][0])
    first = set(trunk)
    return trunk[1:] + [node for node in range(len(tree)) if node not in first]

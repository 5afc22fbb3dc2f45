"""Slots: which cell lives where in a key-value cache. A trie, because caches follow the text.

A slot holds the keys and values of one computed cell. Its parent is the cell before it, so the way from a
slot to the root spells the text the cell was computed after. Rows that share a prefix share its slots; an
accepted guess stays where it is; a fork is another holder. A slot nobody holds is free again.

Any slot will do for a cell, but a text is read quickest where its cells lie side by side: a cell takes the
slot behind its parent's if it can, else it begins a free block, and only when there is none a single hole.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROOT = -1
WHOLE = 1 << 30  # blocks that a cell went through once a whole net computed it
BLOCK = 32  # slots that are given to one text while there are enough


class Partial(NamedTuple):
    """How far a cell came that only a net's first blocks computed."""

    blocks: int
    state: np.ndarray | None  # [D] leaving the last of them; None: it is about to be computed


class Slots:
    """Bookkeeping of so many slots; the tensors live in `nets.pool`."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.capacity = capacity
        self.token: list[int] = []
        self.parent: list[int] = []
        self.depth: list[int] = []  # cells before this one: its position
        self.holders: list[int] = []  # children and tips; 0 means free
        self.child: dict[tuple[int, int], int] = {}  # (slot, token) -> the slot that continues it
        self.used = 0
        self.inside: list[int] = []  # used slots of each block
        self.empty: list[int] = []  # a heap of blocks, lowest first; some may be in use again
        self.holes: list[int] | None = None  # free slots and some in use again; None: no need to know
        self.partial: dict[int, Partial] = {}  # used slots whose cells are not whole

    @property
    def top(self) -> int:
        """Slots that were ever used lie below this one."""
        return len(self.holders)

    def find(self, parent: int, token: int) -> int | None:
        return self.child.get((parent, token))

    def add(self, parent: int, token: int) -> int:
        """A slot for a cell about to be computed, held until `release`."""
        slot = self._place(parent)
        self.token[slot], self.parent[slot], self.holders[slot] = token, parent, 1
        self.depth[slot] = self.depth[parent] + 1 if parent != ROOT else 0
        self.used += 1
        self.inside[slot // BLOCK] += 1
        if parent != ROOT:
            self.holders[parent] += 1
        self.child[parent, token] = slot
        return slot

    def blocks(self, slot: int) -> int:
        """How many blocks the slot's cell went through."""
        kept = self.partial.get(slot)
        return WHOLE if kept is None else kept.blocks

    def hold(self, slot: int) -> None:
        if slot != ROOT:
            self.holders[slot] += 1

    def release(self, slot: int) -> None:
        """Let go; slots that nobody holds any more become free, up towards the root."""
        while slot != ROOT:
            self.holders[slot] -= 1
            if self.holders[slot]:
                return
            parent, block = self.parent[slot], slot // BLOCK
            del self.child[parent, self.token[slot]]
            self.used -= 1
            self.partial.pop(slot, None)
            self.inside[block] -= 1
            if self.holes is not None:
                self.holes.append(slot)
            if not self.inside[block]:
                heapq.heappush(self.empty, block)
            slot = parent

    def walk(self, slot: int, tokens: Sequence[int]) -> list[int]:
        """The slots already there for as many of the tokens as possible, continuing from `slot`."""
        found: list[int] = []
        for token in tokens:
            nxt = self.child.get((slot, token))
            if nxt is None:
                break
            found.append(nxt)
            slot = nxt
        return found

    def _place(self, parent: int) -> int:
        """A free slot, near its parent if possible."""
        behind = parent + 1
        if parent != ROOT and behind % BLOCK and behind < self.top and not self.holders[behind]:
            return behind
        while self.empty:
            block = heapq.heappop(self.empty)
            if not self.inside[block]:
                self.holes = None
                return block * BLOCK
        if self.top < self.capacity:
            return self._grow()
        if not self.holes:
            self.holes = [slot for slot, count in enumerate(self.holders) if not count]
        while self.holders[slot := self.holes.pop()]:
            pass
        return slot

    def _grow(self) -> int:
        """The first slot of one more block."""
        first, size = self.top, min(BLOCK, self.capacity - self.top)
        for column in (self.token, self.parent, self.depth, self.holders):
            column.extend([0] * size)
        self.inside.append(0)
        return first

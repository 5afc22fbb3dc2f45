"""Slots: which cell lives where in a key-value cache. A trie, because caches follow the text.

A slot holds the keys and values of one computed cell. Its parent is the cell before it, so the way from a
slot to the root spells the text the cell was computed after. Rows that share a prefix share its slots; an
accepted guess stays where it is; a fork is another holder. A slot nobody holds is free again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

ROOT = -1


class Slots:
    """Bookkeeping only; the tensors live in `nets.pool`."""

    def __init__(self) -> None:
        self.token: list[int] = []
        self.parent: list[int] = []
        self.depth: list[int] = []  # cells before this one: its position
        self.holders: list[int] = []  # children and tips; 0 means free
        self.child: dict[tuple[int, int], int] = {}  # (slot, token) -> the slot that continues it
        self.free: list[int] = []  # a heap: lowest first, so that the used part of the pool stays short
        self.used = 0

    @property
    def top(self) -> int:
        """Slots in use lie below this one."""
        while self.holders and not self.holders[-1]:
            for column in (self.token, self.parent, self.depth, self.holders):
                column.pop()
        return len(self.holders)

    def find(self, parent: int, token: int) -> int | None:
        return self.child.get((parent, token))

    def add(self, parent: int, token: int) -> int:
        """A slot for a cell about to be computed, held until `release`."""
        top = self.top
        depth = self.depth[parent] + 1 if parent != ROOT else 0
        if self._lowest_free() < top:
            slot = heapq.heappop(self.free)
            self.token[slot], self.parent[slot], self.depth[slot] = token, parent, depth
        else:
            slot = top
            self.token.append(token)
            self.parent.append(parent)
            self.depth.append(depth)
            self.holders.append(0)
        self.holders[slot] = 1
        self.used += 1
        if parent != ROOT:
            self.holders[parent] += 1
        self.child[parent, token] = slot
        return slot

    def hold(self, slot: int) -> None:
        if slot != ROOT:
            self.holders[slot] += 1

    def release(self, slot: int) -> None:
        """Let go; slots that nobody holds any more become free, up towards the root."""
        while slot != ROOT:
            self.holders[slot] -= 1
            if self.holders[slot]:
                return
            parent = self.parent[slot]
            del self.child[parent, self.token[slot]]
            heapq.heappush(self.free, slot)
            self.used -= 1
            slot = parent

    def _lowest_free(self) -> int:
        top = self.top
        while self.free and self.free[0] >= top:  # cut away by `top`
            heapq.heappop(self.free)
        return self.free[0] if self.free else top

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

"""What a body is fed in one run: cells side by side, each with the way it sees.

A way is the slots of a text in its order: what was computed before, then cells of this run. In a causal net
a cell sees its way up to and including itself; in a two-way net as far as its text or its block goes. Cells
of one text, and guesses that follow each other, share a way and differ in how far along it they see; a guess
that branches off gets a way of its own, a copy up to the fork.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from anyorder.nets.slots import WHOLE, Partial


@dataclass(slots=True)
class Feed:
    """Q cells, W ways. Parents come before their children."""

    token: list[int] = field(default_factory=list)  # [Q]
    position: list[int] = field(default_factory=list)  # [Q]
    slot: list[int] = field(default_factory=list)  # [Q] where the cell's keys and values go
    way: list[int] = field(default_factory=list)  # [Q] which way the cell stands on
    count: list[int] = field(default_factory=list)  # [Q] slots it sees of its way, its own among them
    ways: list[array[int]] = field(default_factory=list)  # [W] slots
    family: list[int] = field(default_factory=list)  # [W] ways of one row belong together
    place: dict[int, int] = field(default_factory=dict)  # slot -> which cell of the run it is
    lines: list[int] = field(default_factory=list)  # cells whose lines are wanted
    layers: list[int] = field(default_factory=list)  # inner layers whose states are wanted
    blocks: int = WHOLE  # that the run goes through
    floor: int = WHOLE  # a cell is run from this block on at the latest, for the sake of `layers`
    partial: Mapping[int, Partial] = field(default_factory=dict)  # slots whose cells are not whole
    start: list[int] = field(default_factory=list)  # [Q] blocks that the cell went through before
    left: np.ndarray | None = None  # [Q, D] states leaving the last block, where it is not the net's last
    weights: np.ndarray | None = (
        None  # [Q, heads, longest way] attention of the last block, where it is at hand
    )
    mixtures: dict[int, Mapping[int, float]] = field(default_factory=dict)  # negative token -> what it mixes
    soft: dict[int, Mapping[int, float]] = field(default_factory=dict)  # cell -> the mixture it reads

    def __len__(self) -> int:
        return len(self.token)

    def begin(self, slots: array[int], family: int) -> int:
        """A new way over slots that were computed before."""
        self.ways.append(slots)
        self.family.append(family)
        return len(self.ways) - 1

    def step(self, way: int, length: int, slot: int) -> int:
        """The way that follows `way` for `length` slots and goes on to `slot`: itself, or a branch."""
        if len(self.ways[way]) != length:
            way = self.begin(self.ways[way][:length], self.family[way])
        self.ways[way].append(slot)
        return way

    def add(self, token: int, slot: int, way: int, length: int) -> None:
        """Compute a cell, which stands as the last of the first `length` slots of a way."""
        self.put(token, slot, way, length - 1, length)

    def put(self, token: int, slot: int, way: int, position: int, count: int) -> None:
        """Compute a cell at a position, which sees the first so many slots of a way, its own among them."""
        if slot in self.place:
            return  # rows that share the cell
        self.place[slot] = len(self.token)
        if token < 0:
            self.soft[len(self.token)] = self.mixtures[token]
        self.token.append(max(token, 0))
        self.position.append(position)
        self.slot.append(slot)
        self.way.append(way)
        self.count.append(count)
        known = self.partial.get(slot)
        self.start.append(known.blocks if known and known.blocks <= min(self.blocks, self.floor) else 0)

    def arrange(self) -> None:
        """Put cells that start further inside behind, so that each block runs over the first so many."""
        if not any(self.start):
            return
        order = sorted(range(len(self)), key=self.start.__getitem__)
        for column in (self.token, self.position, self.slot, self.way, self.count, self.start):
            column[:] = [column[i] for i in order]
        self.place = {slot: i for i, slot in enumerate(self.slot)}
        self.soft = {new: self.soft[old] for new, old in enumerate(order) if old in self.soft}

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """All ways one after another [T], and where each cell's begins [Q]."""
        ends = np.cumsum([0, *map(len, self.ways)])
        slots = np.concatenate([np.frombuffer(way, dtype=np.int32) for way in self.ways])
        return slots, ends[self.way].astype(np.int32)

"""Attention drift (Elastic-Cache, arXiv:2510.14973): a run over few cells that widens where attention turned.

Block by block, the asked cells say how much they attend to one written cell: the one that they attended to
most in the run before. If even that has turned away from what it was then, the states of cells that were not
computed are too old, and from the next block on all cells are computed:

    block    0       1       2       3
    cosine   0.99    0.97    0.85             < 0.9: every cell's state is computed from here on
    cells    5       5       5 + 59  64

What cells that were not computed bring into that block is what it read of them last. At the first block this
is their token, and then the run is as good as one of all cells.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from anyorder.nets.feed import Feed


class Blocks(Protocol):
    """A body that runs one block at a time."""

    depth: int

    def embedded(self, token: Sequence[int]) -> Tensor:
        """[Q, D] what the first block reads."""
        ...

    def block(self, i: int, x: Tensor, feed: Feed, store: Any) -> tuple[Tensor, Tensor]:
        """States [Q, D] of a run's cells through block i, and the attention [M, slots of the way] that the
        feed's lines pay, the mean over heads."""
        ...


@dataclass(frozen=True, slots=True)
class Laid:
    """One row's run as it was laid out: n cells that all see each other."""

    text: Sequence[int]  # [n]
    slots: Sequence[int]  # [n]
    fed: Sequence[int]  # cells to be computed, in order
    lines: Sequence[int]  # those of them that were asked about
    written: Sequence[int]  # cells that are no holes


@dataclass(frozen=True, slots=True)
class Followed:
    """The written cell that the asked ones attended to most, and how much."""

    cell: int
    weight: Mapping[int, float]  # asked cell -> its weight on it


@dataclass(frozen=True, slots=True)
class Trail:
    """What a row's last run left for the next."""

    inputs: Tensor  # [blocks, n, D] what each block last read of each cell
    followed: tuple[Followed | None, ...]  # for each block; None: nothing was written yet

    @property
    def cells(self) -> int:
        return self.inputs.shape[1]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.inputs.numel() * self.inputs.itemsize


def drifted(
    body: Blocks, laid: Laid, trail: Trail | None, least: float, store: Any
) -> tuple[Tensor, Trail, int]:
    """Run the fed cells; all cells from the block on where a cosine fell below `least`.

    Returns states [M, D] of the lines behind the last block; the trail for the next run; how many cells were
    computed, where one that went through some of the blocks counts for their share, rounded up. Without a
    trail all cells are fed.
    """
    everything = range(len(laid.text))
    now, work, followed = list(laid.fed), 0, []
    assert trail is not None or len(now) == len(everything), "what was never computed cannot be left out"
    x = body.embedded([laid.text[i] for i in now])
    inputs = x.new_zeros(body.depth, len(everything), x.shape[1]) if trail is None else trail.inputs.clone()
    for i in range(body.depth):
        inputs[i, now] = x
        x, weights = body.block(i, x, feed_of(laid, now, laid.lines), store)
        work += len(now)
        others = sorted(set(everything) - set(now))
        if others and trail and cosine(trail.followed[i], laid.lines, weights) < least:
            y, _ = body.block(i, inputs[i, others], feed_of(laid, others, ()), store)
            work += len(others)
            both = x.new_empty(len(everything), x.shape[1])
            both[now], both[others] = x, y
            x, now = both, list(everything)
        followed.append(_follow(laid, weights))
    lines = x[[now.index(cell) for cell in laid.lines]]
    return lines, Trail(inputs, tuple(followed)), -(-work // body.depth)


def feed_of(laid: Laid, cells: Sequence[int], lines: Sequence[int]) -> Feed:
    """These cells of a row, each of which sees all of it."""
    feed = Feed()
    way = feed.begin(array("i", laid.slots), 0)
    for cell in cells:
        feed.put(laid.text[cell], laid.slots[cell], way, cell, len(laid.slots))
    feed.lines = [feed.place[laid.slots[cell]] for cell in lines]
    return feed


def cosine(before: Followed | None, lines: Sequence[int], weights: Tensor) -> float:
    """Between what the cells asked about in both runs paid the followed cell, then and now. weights [M, n].

    1 if there was nothing to follow; -1 if no cell was asked about twice, so that nothing speaks for what is
    kept.
    """
    if before is None:
        return 1.0
    common = [m for m, cell in enumerate(lines) if cell in before.weight]
    if not common:
        return -1.0
    then = torch.tensor([before.weight[lines[m]] for m in common], dtype=torch.float64)
    now = weights[common, before.cell].double().cpu()
    return float(torch.nn.functional.cosine_similarity(then, now, dim=0))


def _follow(laid: Laid, weights: Tensor) -> Followed | None:
    """The written cell with the most attention; the leftmost among equals."""
    if not laid.written:
        return None
    cell = laid.written[int(weights[:, list(laid.written)].sum(0).argmax())]
    return Followed(cell, dict(zip(laid.lines, weights[:, cell].tolist(), strict=True)))

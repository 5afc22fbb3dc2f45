"""The memory behind `nets.slots`: keys and values of every computed cell, in one place of a stated size.

Memory is reserved at once and touched as it is used, lowest slots first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyorder.nets.feed import Feed

BLOCK = 64  # stock models look at whole blocks of slots, so that shapes are few


def zeros(shape: tuple[int, ...], kind: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Zeros that take no memory until they are written, where the system can."""
    if torch.device(device).type != "cpu":
        return torch.zeros(shape, dtype=kind, device=device)
    of_bytes = np.zeros((*shape[:-1], shape[-1] * kind.itemsize), dtype=np.uint8)
    return torch.from_numpy(of_bytes).view(kind)


class Store:
    """Keys and values [slots, groups, width] of every layer, for fused operations."""

    def __init__(self, layers: int, slots: int, groups: int, width: int, kind: torch.dtype):
        seen = torch.uint16 if kind == torch.bfloat16 else kind
        both = zeros((layers, 2, slots, groups, width), kind).view(seen).numpy()
        self.both = [(keys, values) for keys, values in both]

    def layer(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.both[i]


class Layout:
    """How the cells of a run lie for torch's attention: F families, each of at most C cells over L slots.

    A family is one row of one request: its ways are looked at together, and a mask says which cell sees what.
    """

    def __init__(self, feed: Feed, device: torch.device | str):
        families = sorted({feed.family[way] for way in feed.way})
        members: dict[int, list[int]] = {f: [] for f in families}
        for i, way in enumerate(feed.way):
            members[feed.family[way]].append(i)
        seen = {f: self._seen(feed, members[f]) for f in families}
        width = max(map(len, members.values()))
        longest = -(-max(map(len, seen.values())) // BLOCK) * BLOCK
        cell = np.zeros((len(families), width), dtype=np.int64)
        back = np.zeros(len(feed), dtype=np.int64)
        slots = np.zeros((len(families), longest), dtype=np.int64)
        sees = np.zeros((len(families), width, longest), dtype=bool)
        depth = np.zeros((len(families), longest), dtype=np.int64)
        for f, name in enumerate(families):
            slots[f, : len(seen[name])] = seen[name]
            for c, i in enumerate(members[name]):
                mine = np.frombuffer(feed.ways[feed.way[i]], dtype=np.int32)[: feed.count[i]]
                columns = np.searchsorted(seen[name], mine)
                sees[f, c, columns], depth[f, columns] = True, np.arange(len(mine))
                cell[f, c], back[i] = i, f * width + c
            sees[f, len(members[name]) :, 0] = True  # rows that fill up see something, or they are NaN
        self.position, self.depth, self.sees = np.array(feed.position)[cell], depth, sees
        self.cell, self.back, self.slots = (torch.from_numpy(x).to(device) for x in (cell, back, slots))

    @staticmethod
    def _seen(feed: Feed, cells: list[int]) -> np.ndarray:
        """All slots that some cell of a family sees, sorted."""
        far: dict[int, int] = {}
        for i in cells:
            far[feed.way[i]] = max(far.get(feed.way[i], 0), feed.count[i])
        ways = [np.frombuffer(feed.ways[way], dtype=np.int32)[:n] for way, n in far.items()]
        return np.unique(np.concatenate(ways))

    def mask(self, window: int | None, share: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """[F, 1, share * C, L] to add to scores: 0 where a cell is seen, else minus infinity.

        `share`: query heads per key head; their queries lie stacked, so that keys are never repeated.
        """
        sees = self.sees
        if window is not None:
            sees = sees & (self.position[:, :, None] - self.depth[:, None, :] < window)
        mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(torch.from_numpy(~sees), -torch.inf)
        return mask.repeat(1, share, 1)[:, None].to(device)


class Pool:
    """Keys and values [groups, slots, width] of every layer, as the cache of a transformers model."""

    is_compileable = False

    def __init__(self, slots: int):
        self.size = slots
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.slot = torch.zeros(0, dtype=torch.long)  # where the cells of this run go
        self.layout: Layout | None = None

    def aim(self, feed: Feed, device: torch.device) -> Layout:
        """Prepare for a run."""
        self.slot = torch.tensor(feed.slot, device=device)
        self.layout = Layout(feed, device)
        return self.layout

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *unused: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Called in every layer with [1, groups, Q, width]; returns [F, groups, L, width] with the layout."""
        return self._put(self.keys, keys, layer), self._put(self.values, values, layer)

    def _put(self, store: dict[int, Tensor], new: Tensor, layer: int) -> Tensor:
        assert self.layout is not None, "a run is aimed before it starts"
        if layer not in store:
            store[layer] = zeros((new.shape[1], self.size, new.shape[3]), new.dtype, new.device)
        pool = store[layer]
        pool.index_copy_(1, self.slot, new[0])
        seen = pool[:, self.layout.slots].transpose(0, 1)
        seen.anyorder = self.layout  # type: ignore[attr-defined]  # our attention reads it there
        return seen

    def get_seq_length(self, layer: int = 0) -> int:
        """Asked by models that compute positions themselves; ours are always given."""
        return 0

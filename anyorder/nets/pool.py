"""The key-value pool: the tensors behind `nets.slots`.

New cells are written into the slots of the current run; what comes back is the used part of the pool, and
the run's mask says which cell sees which slot. So a tree, forked rows and other requests' rows all lie in one
run, and nothing is ever copied to be kept. The methods are those a transformers model expects of a cache.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 64  # slots
ROWS, FEWEST = 32, 4  # torch's attention takes rows by 32; fewer than 4 left over are summed in another order


class Pool:
    """Keys and values [heads, slots, width] of every layer, grown by doubling."""

    is_compileable = False

    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.where: slice | Tensor = slice(0, 0)  # slots that the cells of this run are written to
        self.slots: list[int] = []  # the same, as a list
        self.depth: np.ndarray = np.zeros(0, dtype=int)  # [reach] position of the cell in each slot
        self.reach = 0  # slots the run sees part of

    def aim(self, slots: list[int], depth: list[int]) -> None:
        """Prepare for a run whose cells go to the given slots; `depth`: the position of every used slot."""
        first, self.slots, self.reach = slots[0], slots, reach(len(depth))
        self.depth = np.zeros(self.reach, dtype=int)
        self.depth[: len(depth)] = depth
        if slots == list(range(first, first + len(slots))):
            self.where = slice(first, first + len(slots))
        else:
            self.where = torch.tensor(slots)

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *unused: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Called in every layer with [1, heads, Q, width]; returns [1, heads, reach, width]."""
        return self._put(self.keys, keys, layer), self._put(self.values, values, layer)

    def _put(self, store: dict[int, Tensor], new: Tensor, layer: int) -> Tensor:
        pool = store.get(layer)
        if pool is None or pool.shape[1] < self.reach:
            size = 1 << (self.reach - 1).bit_length()
            grown = new.new_zeros((new.shape[1], size, new.shape[3]))
            if pool is not None:
                grown[:, : pool.shape[1]] = pool
            pool = store[layer] = grown
        if isinstance(self.where, slice):
            pool[:, self.where] = new[0]
        else:
            pool.index_copy_(1, self.where.to(pool.device), new[0])
        return pool[None, :, : self.reach]

    @torch.inference_mode()
    def move(self, moves: list[tuple[int, int]]) -> None:
        """Carry cells from slot to slot, all at once."""
        old, new = (torch.tensor(side) for side in zip(*moves, strict=True))
        for store in (self.keys, self.values):
            for pool in store.values():
                pool[:, new.to(pool.device)] = pool[:, old.to(pool.device)]

    def get_seq_length(self, layer: int = 0) -> int:
        """Asked by models that compute positions themselves; ours are always given."""
        return self.reach

    def near(self, sees: np.ndarray, window: int) -> np.ndarray:
        """`sees`, less what lies `window` positions back or more."""
        gap = self.depth[self.slots][:, None] - self.depth[None, :]
        return sees & (gap < window)


def reach(top: int) -> int:
    """How many slots are looked at to see those below `top`: whole blocks.

    Sums over slots take their way by whole blocks. If a cell always looks at the same number of blocks, what
    it does not see adds exact zeros, and it computes the same bits alone and among guesses.
    """
    return -(-top // BLOCK) * BLOCK


def sights(sees: np.ndarray) -> list[tuple[int, int, int]]:
    """(first cell, last cell + 1, slots looked at) of neighbouring cells that look equally far."""
    far = [reach(top) for top in _tops(sees)]
    cuts = [0, *(i for i in range(1, len(far)) if far[i] != far[i - 1]), len(far)]
    return [(a, b, far[a]) for a, b in pairwise(cuts)]


def by_sight(sees: np.ndarray) -> list[int]:
    """An order of the cells in which those that look equally far are neighbours; parents stay first."""
    far = [reach(top) for top in _tops(sees)]
    return sorted(range(len(far)), key=far.__getitem__)


def _tops(sees: np.ndarray) -> list[int]:
    return (sees.shape[1] - sees[:, ::-1].argmax(1)).tolist()


def added(sees: np.ndarray, share: int, dtype: torch.dtype) -> Tensor:
    """A mask [1, 1, share * Q, S] to add to scores: 0 where a cell is seen, else minus infinity.

    `share`: query heads per key head; their queries lie stacked, so that keys are never repeated.
    """
    mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(torch.from_numpy(~sees), -torch.inf)
    return mask.repeat(share, 1)[None, None]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """Attention of a packed run, [1, Q, H * D].

    query [1, H, Q, D], key and value [1, G, S, D], mask from `added`.
    """
    heads, cells, width = query.shape[1:]
    groups = key.shape[1]
    rows = heads // groups * cells
    query = query.reshape(1, groups, rows, width)
    if 0 < (over := rows % ROWS) < FEWEST:
        query, mask = (functional.pad(x, (0, 0, 0, FEWEST - over)) for x in (query, mask))
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)[:, :, :rows]
    return out.reshape(1, heads, cells, width).transpose(1, 2).reshape(1, cells, heads * width)

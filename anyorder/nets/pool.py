"""The memory behind `nets.slots`: keys and values of every computed cell, in one place of a stated size.

Memory is reserved at once and touched as it is used, lowest slots first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from anyorder.nets.feed import Feed

BLOCK = 64  # stock models look at whole blocks of slots, so that shapes are few
TWIGS = 8  # and at so many more for branches; both keep a mask's rows where a GPU's attention wants them


def zeros(shape: tuple[int, ...], kind: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Zeros that take no memory until they are written, where the system can."""
    if torch.device(device).type != "cpu":
        return torch.zeros(shape, dtype=kind, device=device)
    of_bytes = np.zeros((*shape[:-1], shape[-1] * kind.itemsize), dtype=np.uint8)
    return torch.from_numpy(of_bytes).view(kind)


def mix(x: Tensor, soft: Mapping[int, Mapping[int, float]], embed: Callable[[Tensor], Tensor]) -> None:
    """Put the mixtures of soft cells into the cells' embeddings x [Q, D]: the sum of w E(token)."""
    for cell, weights in soft.items():
        token = torch.tensor(list(weights), device=x.device)
        kind = torch.promote_types(x.dtype, torch.float32)
        weight = torch.tensor(list(weights.values()), dtype=kind, device=x.device)
        x[cell] = (weight[:, None] * embed(token).to(kind)).sum(0)


class Store:
    """Keys and values [slots, groups, width] of every layer, for fused operations."""

    def __init__(self, layers: int, slots: int, groups: int, width: int, kind: torch.dtype):
        seen = torch.uint16 if kind == torch.bfloat16 else kind
        both = zeros((layers, 2, slots, groups, width), kind).view(seen).numpy()
        self.both = [(keys, values) for keys, values in both]

    def layer(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.both[i]


class Shape(NamedTuple):
    """The sizes a run is laid out in; the run itself may be smaller."""

    cells: int  # Q
    families: int  # F: rows of requests
    width: int  # C: cells of a family
    trunk: int  # L: slots of a family's first way
    twigs: int  # T: slots that only its other ways have
    lines: int  # M

    def parts(self) -> dict[str, tuple[int, ...]]:
        """What the host tells the device in numbers, in the order in which it lies there."""
        cells, families, width, trunk, twigs, lines = self
        return {
            "token": (1, cells),
            "position": (1, cells),
            "slot": (cells,),  # where its keys and values go
            "back": (cells,),  # which of the F * C rows of attention is the cell's
            "lines": (lines,),  # which cells' answers are wanted
            "cell": (families, width),  # whose row it is
            "limit": (families, width),  # slots of the trunk that the row sees
            "depth": (families, twigs),  # positions of the twigs; a trunk's are 0, 1, 2 ...
            "slots": (families, trunk + twigs),  # what a family looks at
        }

    @property
    def numbers(self) -> int:
        return sum(map(prod, self.parts().values()))

    @property
    def flags(self) -> int:
        """Which row sees which twig: [F, C, T]."""
        return self.families * self.width * self.twigs

    def cut(self, flat: Any) -> dict[str, Any]:
        """The parts of a flat array or tensor, as views."""
        views, start = {}, 0
        for name, size in self.parts().items():
            views[name] = flat[start : start + prod(size)].reshape(size)
            start += prod(size)
        return views


class Family:
    """One row of one request. Its first way is the trunk; slots that only its other ways have are twigs."""

    def __init__(self, feed: Feed, cells: list[int]):
        self.cells = cells
        far: dict[int, int] = {}
        for i in cells:
            far[feed.way[i]] = max(far.get(feed.way[i], 0), feed.count[i])
        trunk = np.frombuffer(feed.ways[feed.way[cells[0]]], dtype=np.int32)
        column: dict[int, int] = {}  # twig -> which one it is
        self.depth: list[int] = []  # of each twig
        fork, tail = {}, {}
        for way, length in far.items():
            slots = np.frombuffer(feed.ways[way], dtype=np.int32)[:length]
            fork[way] = _common(trunk, slots)
            tail[way] = slots[fork[way] :].tolist()
            for depth, slot in enumerate(tail[way], fork[way]):
                if slot not in column:
                    column[slot] = len(column)
                    self.depth.append(depth)
            tail[way] = [column[slot] for slot in tail[way]]
        self.limit = [min(feed.count[i], fork[feed.way[i]]) for i in cells]  # slots of the trunk it sees
        self.sees = [tail[feed.way[i]][: feed.count[i] - n] for i, n in zip(cells, self.limit)]  # twigs
        self.trunk, self.twigs = trunk[: max(self.limit)], list(column)


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How far two ways are the same."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


class Plan:
    """How the cells of a run lie for torch's attention, worked out on the host.

    F families, each of at most C rows, look at L + T slots each. A row sees the beginning of its family's
    trunk, which is one number, and some twigs. So a long text is told by its slots, never by a mask.
    """

    def __init__(self, feed: Feed):
        members: dict[int, list[int]] = {}
        for i, way in enumerate(feed.way):
            members.setdefault(feed.family[way], []).append(i)
        self.feed, self.families = feed, [Family(feed, cells) for cells in members.values()]
        self.shape = Shape(
            cells=len(feed),
            families=len(members),
            width=max(map(len, members.values())),
            trunk=-(-max(len(family.trunk) for family in self.families) // BLOCK) * BLOCK,
            twigs=-(-max(len(family.twigs) for family in self.families) // TWIGS) * TWIGS,
            lines=len(feed.lines),
        )

    def written(self, shape: Shape, spare: int, pinned: bool = False) -> tuple[Tensor, Tensor]:
        """The run in a shape as large or larger: int32 [numbers] and bool [flags], on the host.

        Cells that fill up are token 0 at position 0 and go to the spare slot, which nobody sees. Rows that
        fill up stand for a family's first cell, and slots for its first slot: no row is without anything to
        see, and a family's sums hold no other family's numbers, not even times 0.
        """
        flat = torch.zeros(shape.numbers, dtype=torch.int32, pin_memory=pinned)
        marks = torch.zeros(shape.flags, dtype=torch.bool, pin_memory=pinned)
        part = shape.cut(flat.numpy())
        sees = marks.numpy().reshape(shape.families, shape.width, shape.twigs)
        part["slot"][:] = spare
        for name in ("token", "position", "slot"):
            part[name].flat[: len(self.feed)] = getattr(self.feed, name)
        part["lines"][: len(self.feed.lines)] = self.feed.lines
        for f, family in enumerate(self.families):
            rows, trunk, twigs = len(family.cells), len(family.trunk), len(family.twigs)
            here = slice(f, None if f == 0 else f + 1)  # the first one for families that fill up, too
            part["cell"][here], part["limit"][here] = family.cells[0], family.limit[0]
            part["slots"][here] = family.trunk[0]
            part["cell"][f, :rows], part["limit"][f, :rows] = family.cells, family.limit
            part["slots"][f, :trunk] = family.trunk
            part["slots"][f, shape.trunk : shape.trunk + twigs] = family.twigs
            part["depth"][f, :twigs] = family.depth
            part["back"][family.cells] = np.arange(f * shape.width, f * shape.width + rows)
            for c, columns in enumerate(family.sees):
                sees[f, c, columns] = True
        return flat, marks


class Layout:
    """A plan on the device, as tensors; see `Shape.parts` for what they are."""

    def __init__(self, shape: Shape, numbers: Tensor, flags: Tensor):
        part = shape.cut(numbers.long())
        self.token, self.position, self.slot = part["token"], part["position"], part["slot"]
        self.back, self.lines, self.cell = part["back"], part["lines"], part["cell"]
        self.limit, self.depth, self.slots = part["limit"], part["depth"], part["slots"]
        self.sees = flags.reshape(shape.families, shape.width, shape.twigs)
        self.shape = shape
        self.weights: list[Tensor] | None = None  # [F, C, L + T] of each block that ran, where wanted

    def mask(self, window: int | None, share: int, dtype: torch.dtype) -> Tensor:
        """[F, 1, share * C, L + T] to add to scores: 0 where a slot is seen, else minus infinity.

        `share`: query heads per key head; their queries lie stacked, so that keys are never repeated.
        """
        trunk = torch.arange(self.shape.trunk, device=self.limit.device)
        sees = torch.cat([trunk < self.limit[:, :, None], self.sees], -1)
        if window is not None:
            depth = torch.cat([trunk.expand(self.shape.families, -1), self.depth], -1)
            position = self.position[0][self.cell]  # [F, C]
            sees = sees & (position[:, :, None] - depth[:, None, :] < window)
        mask = torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill_(~sees, -torch.inf)
        return mask.repeat(1, share, 1)[:, None]


class Pool:
    """Keys and values [groups, slots, width] of every layer, as the cache of a transformers model.

    There is one slot more than was asked for: the spare one, for cells that only fill up a shape.
    """

    is_compileable = False

    def __init__(self, slots: int):
        self.spare = slots
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.layout: Layout | None = None  # of the run under way

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *unused: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Called in every layer with [1, groups, Q, width]; returns [F, groups, L + T, width] with the
        layout."""
        return self._put(self.keys, keys, layer), self._put(self.values, values, layer)

    def _put(self, store: dict[int, Tensor], new: Tensor, layer: int) -> Tensor:
        assert self.layout is not None, "a run is laid out before it starts"
        if layer not in store:
            store[layer] = zeros((new.shape[1], self.spare + 1, new.shape[3]), new.dtype, new.device)
        pool = store[layer]
        pool.index_copy_(1, self.layout.slot, new[0])
        seen = pool[:, self.layout.slots].transpose(0, 1)
        seen.anyorder = self.layout  # type: ignore[attr-defined]  # our attention reads it there
        return seen

    def get_seq_length(self, layer: int = 0) -> int:
        """Asked by models that compute positions themselves; ours are always given."""
        return 0

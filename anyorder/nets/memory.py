"""One budget of bytes for the caches of nets that work together.

Cells that live requests hold, and cells that finished ones left for others to begin with, count the same.
When there is no room, the longest idle text goes first, then the youngest request is paused: its cells are
given up, and it catches up from its text when there is room again. Caches follow the text, so that changes
no answer. The oldest request is never paused; if it cannot go on alone, it does not fit at all.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field
from typing import Protocol

from anyorder.core.canvas import Canvas
from anyorder.errors import UserError


class Holder(Protocol):
    """A net as its memory sees it."""

    @property
    def used(self) -> int:
        """Bytes of all cells held."""
        ...

    def idle(self) -> int | None:
        """When the longest idle text became idle; None: there is none."""
        ...

    def drop_idle(self) -> None:
        """Give up the longest idle text."""
        ...

    def pause(self, canvas: Canvas) -> None:
        """Give up every cell that only this canvas holds."""
        ...


class Full(UserError):
    """A request that does not fit into the memory, even alone."""


@dataclass(eq=False)
class Memory:
    """The budget and who lives from it."""

    budget: int  # bytes
    holders: list[Holder] = field(default_factory=list)
    pauses: int = 0
    _clock: int = 0
    _live: dict[int, weakref.ref[Canvas]] = field(default_factory=dict)  # oldest first

    @property
    def used(self) -> int:
        return sum(holder.used for holder in self.holders)

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def enter(self, canvas: Canvas) -> None:
        """A canvas begins; who began first goes first."""
        if self._canvas(id(canvas)) is not canvas:
            self._live[id(canvas)] = weakref.ref(canvas)

    def leave(self, key: int) -> None:
        """The canvas with this id is over."""
        self._live.pop(key, None)

    def ages(self) -> dict[int, int]:
        """id of each live canvas -> its place in line."""
        for key in list(self._live):
            canvas = self._canvas(key)
            if canvas is None or canvas.done:
                del self._live[key]
        return {key: place for place, key in enumerate(self._live)}

    def room(self, size: int, canvas: Canvas, first: bool = False) -> bool:
        """Make room for `size` more bytes for the canvas; False if it has to wait for older ones.

        `first`: as if it were the oldest. Raises Full if it does not fit even alone.
        """
        while self.used + size > self.budget:
            if not (self._drop_idle() or self._pause_another(canvas, first)):
                if first or next(iter(self._live)) == id(canvas):
                    raise Full(
                        f"a request needs {show(self.used + size)} of cache and {show(self.budget)} are "
                        "allowed; allow more memory or ask for fewer tokens or rows"
                    )
                return False
        return True

    def _drop_idle(self) -> bool:
        idle = [(when, i) for i, holder in enumerate(self.holders) if (when := holder.idle()) is not None]
        if idle:
            self.holders[min(idle)[1]].drop_idle()
        return bool(idle)

    def _pause_another(self, canvas: Canvas, first: bool) -> bool:
        """Pause the youngest canvas that holds anything and, unless `first`, began after this one."""
        for key in reversed(list(self._live)):
            if key == id(canvas):
                if first:
                    continue
                return False
            before, other = self.used, self._canvas(key)
            if other is not None:
                for holder in self.holders:
                    holder.pause(other)
            if self.used < before:
                self.pauses += 1
                return True
        return False

    def _canvas(self, key: int) -> Canvas | None:
        found = self._live.get(key)
        return found() if found is not None else None


def show(size: int) -> str:
    """Bytes as people write them."""
    if size < 2**20:
        return f"{size} bytes"
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.2f} GiB"


def parsed(text: str | int | float) -> int:
    """Bytes from "512MB", "2 GiB", "1.5g" or a plain number. Raises UserError."""
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    word = str(text).strip().lower().removesuffix("ib").removesuffix("b")
    unit = word[-1:] if word[-1:] in units and word[-1:] else ""
    try:
        size = int(float(word.removesuffix(unit)) * units[unit])
    except ValueError:
        size = 0
    if size <= 0:
        raise UserError(
            f"memory is {text!r}; allowed is a size such as 512MB or 2GB; give one of at least 1 MB"
        )
    return size


def share_of_machine(device: str = "cpu") -> int:
    """A quarter of the machine's memory, half of what is free on a GPU, or 1 GiB where nobody tells."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0] // 2
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, OSError, ValueError):
        return 2**30

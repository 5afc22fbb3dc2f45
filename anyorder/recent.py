"""A mapping that keeps what was used last and lets the rest go, for what is made again when it is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(MutableMapping[K, V], Generic[K, V]):
    """Holds `most` entries; `forget` is told of each that goes.

    >>> held = Recent({"a": 1, "b": 2}, most=2)
    >>> held["a"], held.setdefault("c", 3), "b" in held
    (1, 3, False)
    """

    def __init__(
        self, given: dict[K, V] | None = None, *, most: int, forget: Callable[[V], object] = lambda gone: None
    ):
        assert most >= 1, "a mapping that keeps something"
        self.most, self.forget, self._held = most, forget, dict(given or {})

    def __getitem__(self, key: K) -> V:
        self._held[key] = value = self._held.pop(key)  # the last one now
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self._held.pop(key, None)
        self._held[key] = value
        while len(self._held) > self.most:
            self.forget(self._held.pop(next(iter(self._held))))

    def __delitem__(self, key: K) -> None:
        del self._held[key]

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

"""Drafters: canvas to trees. A drafter guesses; it commits nothing and never sees a cache.

How its tokens were made decides which verifiers are exact for them (`methods/speculative/rules.py`), so every
drafter says it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from anyorder.card import KINDS
from anyorder.core.canvas import Canvas
from anyorder.core.readers import nothing
from anyorder.core.types import Ask, Reader, Tree

Trees = tuple[Tree, ...]  # one for each live row
Draft = Callable[[Canvas], Generator[Ask, Any, Trees]]
Learn = Callable[[Canvas, Trees, Any, Sequence[Sequence[int]]], None]


@dataclass(frozen=True)
class Drafter:
    """`draft` guesses for every live row. `look` reads what it wants of every target run: for each live row
    an array [lines, ...]. `learn(canvas, trees, seen, paths)` receives that with the trees that were judged
    and the paths about to be committed. `close` is called when a request ends."""

    draft: Draft
    kind: str = "point"
    look: Reader = nothing
    learn: Learn = lambda canvas, trees, seen, paths: None
    close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        assert self.kind in KINDS


def by_row(guess: Callable[[Canvas, int], Tree]) -> Draft:
    """A draft that needs no net: `guess(canvas, row)` for each live row."""

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        return tuple(guess(canvas, row) for row in canvas.live)
        yield  # never reached: it makes this a generator

    return draft

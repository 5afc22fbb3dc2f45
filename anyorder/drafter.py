"""Drafters: canvas to trees. A drafter guesses; it commits nothing and never sees a cache.

How its tokens were made decides which verifiers are exact for them (`methods/speculative/rules.py`), so every
drafter says it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyorder.card import KINDS
from anyorder.core.canvas import Canvas
from anyorder.core.readers import nothing
from anyorder.core.types import Answer, Ask, Reader, Tree

if TYPE_CHECKING:
    from torch import Tensor

    from anyorder.core.chance import Chance

Trees = tuple[Tree, ...]  # one for each live row
Ranked = Sequence[tuple[int, float]]  # tokens that may follow, likeliest first, and the chance of each
After = Callable[[tuple[int, ...]], Ranked]  # a path beyond the text -> what may follow it
Draft = Callable[[Canvas], Generator[Ask, Any, Trees]]
Learn = Callable[[Canvas, Trees, Any, Sequence[Sequence[int]]], None]


@dataclass(frozen=True)
class Drafter:
    """`draft` guesses for every live row. `look` reads what it wants of every target run: for each live row
    an array [lines, ...]. `learn(canvas, trees, seen, paths)` receives that with the trees that were judged
    and the paths about to be committed. `close` is called when a request ends.

    What others build on, who choose another shape or length of tree: `net` names the net whose laws it drafts
    by (see `laws`). `rank(canvas, row)` tells of a drafter without a net what may follow each path beyond the
    row's text, by the drafter's own estimate of its chance. `upto(k)` drafts no deeper than k, without the
    runs that deeper guesses would take.

    `quiet(canvas)`: nothing is to be seen of the run that comes. `why(canvas)`: what was chosen and why, in
    words, for traces.
    """

    draft: Draft
    kind: str = "point"
    look: Reader = nothing
    layers: tuple[int, ...] = ()  # of the target, whose states `look` reads
    learn: Learn = lambda canvas, trees, seen, paths: None
    close: Callable[[], None] = lambda: None
    net: str = ""
    rank: Callable[[Canvas, int], After] | None = None
    upto: Callable[[int], Draft] | None = None
    quiet: Callable[[Canvas], bool] = lambda canvas: False
    why: Callable[[Canvas], str] = lambda canvas: ""
    verify: str = "match"  # the verifier it is meant for, above temperature 0

    def __post_init__(self) -> None:
        assert self.kind in KINDS


def laws(net: str, trees: Trees, skip: int = 0) -> Generator[Ask, Any, list[Tensor]]:
    """For each live row [1 + N - skip, V] in float64: the net's law of what follows the row's end (line 0)
    and each guess, the first `skip` lines left out. A line that is left out costs nothing if its cell was
    run since the last commit."""

    def read(answer: Answer, chance: Chance) -> list[Tensor]:
        said = answer.logits.double().softmax(-1)
        return [said[x.start + skip : x.start + x.count] for x in answer.rows]

    return (yield Ask(read, guess=trees, net=net, skip=skip))


def by_row(guess: Callable[[Canvas, int], Tree]) -> Draft:
    """A draft that needs no net: `guess(canvas, row)` for each live row."""

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        return tuple(guess(canvas, row) for row in canvas.live)
        yield  # never reached: it makes this a generator

    return draft

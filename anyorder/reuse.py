"""Caches around a policy: which cells' stale states the next run may use again.

In a two-way net every cell's state hangs on every token, so each run computes all cells afresh, although what
one more token changes in most of them is little. A cache is a bet on that. Its rule looks at a commit and
names the cells that the next run leaves out; all others are computed, and their new states replace the old.

>>> def dual(moment):                             # Fast-dLLM: everything but the block that is being filled
...     return [i for i in range(len(moment.text)) if i not in moment.block]
>>> method = keeping(setting.method("threshold"), dual)

A block ends when it is full, and then everything is computed again. Policies choose their blocks themselves;
the wrapper takes for one the cells between the first and the last that they asked about since the one before
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from anyorder.core.canvas import Canvas
from anyorder.core.types import EXACT, Ask, Cells, Commit, Method
from anyorder.errors import UserError
from anyorder.law import Step, Turn, Turned, turned


class Moment(NamedTuple):
    """A commit to one row, as a rule sees it."""

    text: Sequence[int]  # [n] the row before the commit
    mask: int
    block: range  # the cells being filled, from the first to the last
    step: int  # commits to the block before this one


Rule = Callable[[Moment], Iterable[int]]  # cells whose states the next run may use as they are


@dataclass(slots=True)
class Begun:
    """The block that a row is being filled in."""

    block: range
    step: int = 0
    unread: set[int] = field(default_factory=set)  # cells written since the last run: no state knows them

    def full(self, text: Sequence[int], mask: int | None, assumed: Mapping[int, int]) -> bool:
        """Whether the block has no hole left, where some more tokens are assumed."""
        return all(assumed.get(i, text[i]) != mask for i in self.block if i < len(text))

    def widen(self, cells: Sequence[int]) -> None:
        first, last = min(self.block.start, *cells), max(self.block.stop - 1, *cells)
        self.block = range(first, last + 1)


class Ahead(NamedTuple):
    """A block that begins if assumed tokens come true."""

    row: int
    fill: Mapping[int, int]
    begun: Begun


@dataclass(slots=True)
class Watch:
    """What the wrapper knows between two steps of a method."""

    canvas: Canvas
    rule: Rule
    rows: dict[int, Begun] = field(default_factory=dict)
    ahead: list[Ahead] = field(default_factory=list)
    ran: bool = False  # the target, since the last commit

    def begin(self) -> None:
        """A run is about to begin."""
        self.ran = True
        self.ahead.clear()
        for begun in self.rows.values():
            begun.unread.clear()

    def looked(self, ask: Ask) -> Ask:
        """An ask of the run about to begin. Where it assumes tokens that fill a row's block, all of the row
        is computed, as it will be once the block is full: every cell is assumed to be what it is."""
        fills = []
        assumed = ask.fill or ({},) * len(self.canvas.live)
        for h, cells, fill in zip(self.canvas.live, ask.at or (), assumed, strict=True):
            text, begun = self.canvas.rows[h], self.rows.get(h)
            if begun and fill and cells and begun.full(text, self.canvas.mask, fill):
                self.ahead.append(Ahead(h, fill, Begun(hull(cells))))
                fill = {**dict(enumerate(text)), **fill}
            elif cells and begun:
                begun.widen(cells)
            elif cells:
                self.rows[h] = Begun(hull(cells))
            fills.append(fill)
        return replace(ask, fill=tuple(fills)) if ask.fill else ask

    def kept(self, commit: Commit) -> Cells:
        """What the rule keeps in each live row: nothing of one whose block is full."""
        canvas = self.canvas
        keep: list[list[int]] = []
        cuts: Sequence[int | None] = commit.cut or [None] * len(canvas.live)
        for h, token, at, cut in zip(canvas.live, commit.token, commit.at or (), cuts, strict=True):
            text, written = canvas.rows[h][:cut], dict(zip(at, token, strict=True))
            begun = self.rows.pop(h, None)
            if begun is None or begun.full(text, canvas.mask, written):
                self.rows.update((h, new) for row, fill, new in self.ahead if (row, fill) == (h, written))
                keep.append([])
                continue
            self.rows[h] = begun
            begun.unread |= written.keys()
            assert canvas.mask is not None, "an any-order canvas has a mask"
            moment = Moment(text, canvas.mask, begun.block, begun.step)
            keep.append([i for i in self.rule(moment) if i not in begun.unread])
            begun.step += 1
        self.ran = False
        return keep if any(keep) else EXACT


def hull(cells: Sequence[int]) -> range:
    """From the first to the last."""
    return range(min(cells), max(cells) + 1)


def keeping(inner: Method, rule: Rule) -> Method:
    """The method, whose commits keep what the rule says. Raises UserError if it keeps states itself.

    Where the method runs the target twice without a commit between, one of nothing is put there: what is kept
    is said by commits, and so a run of guesses keeps what a run of written tokens would.
    """

    def begin(canvas: Canvas) -> Turn:
        watch = Watch(canvas, rule)

        def turn(step: Step) -> Turned:
            if isinstance(step, Commit):
                return (yield _keeping(watch, step))
            asks = step if isinstance(step, tuple) else (step,)
            if any(ask.net == "target" for ask in asks):
                if watch.ran:
                    yield _keeping(watch, _nothing(canvas))
                watch.begin()
            asks = tuple(watch.looked(ask) if ask.net == "target" else ask for ask in asks)
            return (yield asks if isinstance(step, tuple) else asks[0])

        return turn

    return turned(inner, begin)


def _keeping(watch: Watch, commit: Commit) -> Commit:
    if commit.keep:
        raise UserError(
            "a cache stands around a method that keeps states itself; allowed is one cache; choose an inner "
            "method without one"
        )
    return replace(commit, keep=watch.kept(commit))


def _nothing(canvas: Canvas) -> Commit:
    none: list[list[Any]] = [[] for _ in canvas.live]
    return Commit(none, at=none)

"""Texts with gaps, and how a lexer may read them.

A text is what is known from the left, and a chain of `Rest`: a gap and the text behind it, and the next.
Lexing under uncertainty: a word of a terminal may lie in a text, in a gap, or reach over several of both;
every border where it may end is a place. What was found for a `Rest` depends on nothing to its left, so
it is kept as long as that part of a text stays as it is.

Places: a number is a position in the text from the left. (depth, k, held) lies in the gap of the rest of
that depth, k characters at least after its begin, and what is written next is not of a kind in `held`.
(depth, -i, 0) lies i characters inside the text behind the gap. END is the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from anyorder.constraints.completable.lexer import DEAD, Lexer

Place = int | tuple[int, int, int]
END: Place = (-1, 0, 0)
Fill = tuple[tuple[int, str], ...]  # (depth of the gap, what is written there), from the left
Ways = dict[tuple[int, Place], tuple[int, Fill]]  # (terminal, where it ends) -> (characters written, which)


class Words(NamedTuple):
    """Every word that begins at a place, cheapest first, by terminal; and which terminals, as bits."""

    by: dict[int, list[tuple[Place, int, Fill]]]
    bits: int

    @classmethod
    def of(cls, ways: Ways) -> Words:
        by: dict[int, list[tuple[Place, int, Fill]]] = {}
        for (terminal, place), (cost, fill) in ways.items():
            by.setdefault(terminal, []).append((place, cost, fill))
        return cls(by, sum(1 << t for t in by))


def better(ways: Ways, key: tuple[int, Place], cost: int, fill: Fill) -> None:
    known = ways.get(key)
    if known is None or cost < known[0]:
        ways[key] = (cost, fill)


class Rest:
    """A gap, the text behind it, and what follows that.

    `least` is how many characters the gap has at least; None: none at all, the gap is only a border. `loose`:
    in a gap any word may follow any other, a blank being written between them where they need one.
    """

    def __init__(self, rests: Rests, least: int | None, run: tuple[int, ...], after: Rest | None):
        self.lexer, self.order = rests.lexer, rests.order
        self.least, self.run, self.after = least, run, after
        self.loose = rests.loose and least is not None
        self.depth: int = 0 if after is None else after.depth + 1
        self.tails: dict[int, Ways] = {}
        self.words: dict[Place, Words] = {}

    def from_left(self, state: int) -> Ways:
        """Words that reach the gap's left border with the lexer in this state, and go on."""
        if state not in self.tails:
            self.tails[state] = self._on([(0, state, "")])
        return self.tails[state]

    def at(self, place: Place) -> Words:
        """Words that begin at a place of this rest."""
        if place not in self.words:
            assert isinstance(place, tuple), "places of the text from the left are read elsewhere"
            _, k, held = place
            if k < 0:
                self.words[place] = Words.of(self._read(-k, self.lexer.start, held, 0, ()))
            else:
                self.words[place] = Words.of(self._on([(k, self.lexer.start, "")], held))
        return self.words[place]

    def place(self, terminal: int, state: int, k: int = 0) -> Place:
        """The place of a word that ends k letters behind the gap's begin."""
        return (self.depth, k, 0 if self.loose else self.lexer.held(terminal, state))

    def is_end(self, place: Place) -> bool:
        """Whether the text may end at a place: in the last gap, when nothing follows it."""
        if self.depth or self.run or not isinstance(place, tuple):
            return False
        return place[0] == 0 and place[1] >= (self.least or 0)

    def _on(self, begin: list[tuple[int, int, str]], held: int = 0) -> Ways:
        """Words from states in the gap, through it and what follows. The first letter is not of `held`."""
        ways: Ways = {}
        for k, state, text in self._gap(begin, held):
            fill: Fill = ((self.depth, text),) if text else ()
            if text:
                for terminal in self.lexer.ends[state]:
                    better(ways, (terminal, self.place(terminal, state, k)), len(text), fill)
            if k >= (self.least or 0) and self.run:
                for key, (cost, more) in self._read(0, state, 0 if text else held, len(text), fill).items():
                    better(ways, key, cost, more)
        return ways

    def _gap(self, begin: list[tuple[int, int, str]], held: int) -> list[tuple[int, int, str]]:
        """(letters so far, state, what was written) of everything that can be written in the gap."""
        if self.least is None:
            return begin
        found: set[tuple[int, int]] = set()  # without `begin`: a word that is back at its start has letters
        out, todo = list(begin), deque(begin)
        while todo:
            k, state, text = todo.popleft()
            for kind in self.order:
                if not text and held >> kind & 1:
                    continue
                key = (min(k + 1, self.least), self.lexer.step(state, kind))
                if key[1] == DEAD or key in found:
                    continue
                found.add(key)
                out.append((*key, text + self.lexer.sample[kind]))
                todo.append(out[-1])
        return out

    def _read(self, start: int, state: int, held: int, cost: int, fill: Fill) -> Ways:
        """Words that stand in `state` before letter `start` of the run."""
        lexer, run = self.lexer, self.run
        ways: Ways = {}
        if start < len(run) and held >> run[start] & 1:
            return ways
        for i in range(start, len(run)):
            state = lexer.step(state, run[i])
            if state == DEAD:
                return ways
            last = i + 1 == len(run)
            for terminal in lexer.ends[state]:
                if last:
                    place = END if self.after is None else self.after.place(terminal, state)
                elif lexer.held(terminal, state) >> run[i + 1] & 1:
                    continue
                else:
                    place = (self.depth, -i - 1, 0)
                better(ways, (terminal, place), cost, fill)
        if self.after is not None:
            for key, (more, filled) in self.after.from_left(state).items():
                better(ways, key, cost + more, fill + filled)
        return ways


class Rests:
    """Rests that are equal are one, so that what was found for them is found once.

    `loose`: the lexer has blanks that divide all words (`Lexer.divides`), so they need not be thought of.
    `order`: kinds of letters, those first that are best written in a gap.
    """

    MOST = 4000

    def __init__(self, lexer: Lexer, loose: bool, order: Sequence[int]):
        self.lexer, self.loose, self.order = lexer, loose, order
        self.known: dict[tuple[int | None, tuple[int, ...], int], Rest] = {}

    def of(self, parts: list[tuple[int | None, tuple[int, ...]]]) -> Rest:
        """The chain of (least letters of a gap, text behind it), at least one. Only the last text may be
        empty."""
        if len(self.known) > self.MOST:
            self.known.clear()
        rest: Rest | None = None
        for least, run in reversed(parts):
            key = (least, run, id(rest))
            if key not in self.known:
                self.known[key] = Rest(self, least, run, rest)
            rest = self.known[key]
        assert rest is not None, "a text has a last gap, which may be a border"
        return rest

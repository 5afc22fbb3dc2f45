"""Whether a text with gaps can be completed: a worklist over triples (symbol, place, place).

A triple is a fact: the symbol derives some word that leads from one place of the text to the other. The
text can be completed if the start symbol leads from its begin to its end. Facts are found cheapest first
(Knuth 1977), a fact's cost being the characters written in gaps; so the first fact that leads to the end
tells a shortest way to fill them. Only what a fact further left asks for is looked for (ours), so that
text that is already known from the left is read once: `Start` keeps its facts while the text grows.

Source: arXiv:2508.10111, sections on the emptiness of an intersection; the grammar times the automaton of
the text is never built.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from anyorder.constraints.completable.language import Language
from anyorder.constraints.completable.lexer import DEAD
from anyorder.constraints.completable.texts import END, Fill, Place, Rest, Words

Spot = tuple[int, Place]  # (symbol, where it begins)
How = tuple  # how a fact was found: (fill,) of a terminal, (X,) or (X, place, Y) of a rule, () of nothing


class Facts:
    """What is known of some places, and what waits for more. `ordered`: facts are found cheapest first."""

    def __init__(self, language: Language, ordered: bool):
        self.language = language
        self.ends: dict[Spot, dict[Place, int]] = {}  # asked for -> where it ends -> cost
        self.waits: dict[
            Spot, list[tuple[int, Place, int, int]]
        ] = {}  # -> (A, its begin, X, cost of X), A: X Y
        self.how: dict[tuple[int, Place, Place], How] = {}
        self.ordered = ordered
        self.heap: list[tuple[int, int, int, Place, Place, How]] = []
        self.queue: deque[tuple[int, int, int, Place, Place, How]] = deque()
        self.pushed = 0

    def push(self, cost: int, symbol: int, begin: Place, end: Place, how: How) -> None:
        if not self.ordered:
            known = self.ends.setdefault((symbol, begin), {})
            if end not in known:
                known[end] = cost
                self.queue.append((cost, 0, symbol, begin, end, how))
            return
        self.pushed += 1
        heapq.heappush(self.heap, (cost, self.pushed, symbol, begin, end, how))

    def pop(self) -> tuple[int, int, int, Place, Place, How] | None:
        if self.ordered:
            return heapq.heappop(self.heap) if self.heap else None
        return self.queue.popleft() if self.queue else None


class Start:
    """The facts of a text from the left, as far as nothing that follows can change them.

    `open[i]` is where the lexer stands at the end of the text with a word that began at position i.
    """

    def __init__(self, language: Language):
        self.language = language
        self.facts = Facts(language, False)
        self.kinds: list[int] = []
        self.begin: Place = 0
        self.open: dict[int, int] = {0: language.lexer.start}
        self.edges: dict[int, dict[int, list[int]]] = {0: {}}  # position -> terminal -> ends of its words
        _want(self, self.facts, language.start, 0)

    def read(self, kinds: Iterable[int]) -> None:
        """Read on."""
        for kind in kinds:
            self._letter(kind)

    def _letter(self, kind: int) -> None:
        """The borders before a letter are settled by it, and then the words go on with it."""
        here, lexer = len(self.kinds), self.language.lexer
        begun = [(i, t) for i, t in self.closing() if not lexer.held(t, self.open[i]) >> kind & 1]
        if begun:
            self.open[here], self.edges[here] = lexer.start, {}
        for i, terminal in begun:
            self.edges[i].setdefault(terminal, []).append(here)
            if (terminal, i) in self.facts.ends:
                self.facts.push(0, terminal, i, here, ((),))
        _work(self, self.facts, None)
        self.kinds.append(kind)
        after = ((i, lexer.step(state, kind)) for i, state in self.open.items())
        self.open = {i: state for i, state in after if state != DEAD}

    def closing(self) -> Iterator[tuple[int, int]]:
        """(begin, terminal) of words that may end with the text."""
        here = len(self.kinds)
        for i, state in self.open.items():
            if i < here:
                yield from ((i, t) for t in self.language.lexer.ends[state] if (t, i) in self.facts.ends)

    # as a source of words, while the text itself is read

    def word(self, terminal: int, place: Place) -> list[tuple[Place, int, Fill]]:
        assert isinstance(place, int), "text from the left has positions"
        return [(end, 0, ()) for end in self.edges[place].get(terminal, ())]

    def bits(self, place: Place) -> int:
        """Terminals of which a word may begin at a place; while words are open, any."""
        assert isinstance(place, int), "text from the left has positions"
        if place in self.open:
            return -1
        return sum(1 << t for t in self.edges[place])

    def is_end(self, place: Place) -> bool:
        return False


class Search:
    """One text: `start` and what follows it. Only an `ordered` search tells a way."""

    def __init__(self, start: Start, rest: Rest, ordered: bool = True):
        self.start, self.rest = start, rest
        self.language = start.language
        self.facts = Facts(start.language, ordered)
        self.begin: Place = 0 if start.kinds else (rest.depth, 0, 0)  # no text from the left: the first gap
        self.chain: dict[int, Rest] = {}
        at: Rest | None = rest
        while at is not None:
            self.chain[at.depth] = at
            at = at.after

    def possible(self) -> bool:
        """Whether the text can be completed."""
        self._begin()
        return _work(self, self.facts, self.start.facts) is not None

    def way(self) -> dict[int, str] | None:
        """Depth of a gap -> a short text for it; None: the text cannot be completed."""
        assert self.facts.ordered, "a short text is found by an ordered search"
        self._begin()
        end = _work(self, self.facts, self.start.facts)
        return None if end is None else self._filled(end)

    def _begin(self) -> None:
        """Facts of words that reach over the end of the text from the left."""
        start, facts = self.start, self.facts
        known = start.facts.ends
        if not start.kinds:
            _want(self, facts, self.language.start, self.begin)
            return
        for i, terminal in start.closing():
            facts.push(0, terminal, i, self.rest.place(terminal, start.open[i]), ((),))
        for i, state in start.open.items():
            for (terminal, end), (cost, fill) in self.rest.from_left(state).items():
                if (terminal, i) in known:
                    facts.push(cost, terminal, i, end, (fill,))

    def words(self, place: Place) -> Words:
        assert isinstance(place, tuple), "text from the left was read by `Start`"
        return self.chain[place[0]].at(place) if place != END else Words({}, 0)

    def word(self, terminal: int, place: Place) -> list[tuple[Place, int, Fill]]:
        return self.words(place).by.get(terminal, [])

    def bits(self, place: Place) -> int:
        return self.words(place).bits

    def is_end(self, place: Place) -> bool:
        return isinstance(place, tuple) and (place == END or self.chain[place[0]].is_end(place))

    def _filled(self, end: Place) -> dict[int, str]:
        """What the facts that led to the end wrote, gap by gap, left to right."""
        pieces: dict[int, list[tuple[str, int]]] = {}
        todo = [(self.language.start, self.begin, end)]
        while todo:
            symbol, one, other = todo.pop()
            how = self.facts.how.get((symbol, one, other), ())
            if not how:  # nothing, or text from the left alone
                continue
            if isinstance(how[0], tuple):
                for depth, written in how[0]:
                    pieces.setdefault(depth, []).append((written, -1))
                if isinstance(other, tuple) and other != END and other[1] >= 0:
                    pieces.setdefault(other[0], []).append(("", symbol))
            elif len(how) == 1:
                todo.append((how[0], one, other))
            else:
                todo += [(how[2], how[1], other), (how[0], one, how[1])]
        texts = {depth: self._divided(depth, parts) for depth, parts in pieces.items()}
        return {depth: text for depth, text in texts.items() if text}

    def _divided(self, depth: int, pieces: list[tuple[str, int]]) -> str:
        """What is written in a gap, given as texts and terminals whose words end there. Where a word could go
        on with the next letter, a blank comes between."""
        lexer, rest, blank = self.language.lexer, self.chain[depth], self.language.blank
        text, follows = "", rest.run[:1]
        for written, terminal in reversed(pieces):
            if written:
                text, follows = written + text, tuple(lexer.kinds(written[0]))
            elif rest.loose and terminal != blank and follows and lexer.goes_on(terminal) >> follows[0] & 1:
                assert blank is not None, "a gap is loose if there are blanks"
                text = lexer.divider(blank, terminal) + text
                follows = tuple(lexer.kinds(text[0]))
        return text


def _want(text: Start | Search, facts: Facts, symbol: int, place: Place) -> None:
    """Look for the words of a symbol at a place."""
    language = text.language
    todo = [symbol]
    while todo:
        symbol = todo.pop()
        spot = (symbol, place)
        empty = symbol in language.empty
        if spot in facts.ends or not (empty or language.first[symbol] & text.bits(place)):
            continue
        facts.ends[spot] = {}
        if empty:
            facts.push(0, symbol, place, place, ())
        if symbol < language.terminals:
            for end, cost, fill in text.word(symbol, place):
                facts.push(cost, symbol, place, end, (fill,))
            continue
        for one, two in language.rules[symbol]:
            for end, cost in list(facts.ends.get((one, place), {}).items()):
                if two < 0:
                    facts.push(cost, symbol, place, end, (one,))
                else:
                    _join(text, facts, (symbol, place, one, cost), two, end)
            todo.append(one)


def _join(
    text: Start | Search, facts: Facts, item: tuple[int, Place, int, int], two: int, end: Place
) -> None:
    """A rule A: X Y whose X ends at a place: Y is looked for there."""
    symbol, begin, one, cost = item
    spot = (two, end)
    if spot not in facts.ends:
        _want(text, facts, two, end)
    facts.waits.setdefault(spot, []).append(item)
    for last, more in facts.ends.get(spot, {}).items():
        facts.push(cost + more, symbol, begin, last, (one, end, two))


def _work(text: Start | Search, facts: Facts, left: Facts | None) -> Place | None:
    """Find facts until one leads to the end, which is returned, or no more are found. `left`: facts of the
    text from the left, to which positions belong."""
    language = text.language
    goal = language.start
    while (fact := facts.pop()) is not None:
        cost, _, symbol, begin, end, how = fact
        home = left if left is not None and isinstance(begin, int) else facts
        if facts.ordered:
            known = facts.ends.setdefault((symbol, begin), {})
            if end in known:
                continue
            known[end] = cost
            facts.how[symbol, begin, end] = how
        if symbol == goal and begin == text.begin and text.is_end(end):
            return end
        for above in language.alone.get(symbol, ()):
            if (above, begin) in home.ends:
                facts.push(cost, above, begin, end, (symbol,))
        for two, above in language.before.get(symbol, ()):
            if (above, begin) in home.ends:
                _join(text, facts, (above, begin, symbol, cost), two, end)
        for above, first, one, less in home.waits.get((symbol, begin), ()):
            facts.push(cost + less, above, first, end, (one, begin, symbol))
    return None

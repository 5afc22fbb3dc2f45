"""Suffix automata: all phrases of a growing text, in constant time for each token (amortised).

Phrases that end at the same places share a state (Blumer et al. 1985). The suffix link of a state leads to
the longest shorter suffix that ends at more places; so the link of the last state is the text's longest
suffix that also stands earlier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

LINKS = 64  # suffix links along which a new token is counted, so that a text of one token stays cheap
GAP = -1  # after each kept text
FULL = 1 << 15  # tokens of a generation of kept texts
REACH = 64  # last tokens that are matched anew in kept texts when these changed


class Automaton:
    """The suffix automaton of a growing text. State 0 is the empty phrase."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.next: list[dict[int, int]] = [{}]
        self.link, self.length = [-1], [0]  # of each state: suffix link, tokens of its longest phrase
        self.count, self.end = [0], [0]  # how often it stands in the text, and where it ended last
        self.last, self.seen = 0, 0  # `seen`: where the longest repeated suffix ended before

    def add(self, token: int) -> None:
        """Blumer et al. 1985, and the counts of the new token's suffixes."""
        self.text.append(token)
        state = self._state({}, 0, len(self.text), 0, 0)
        p = self.last
        while p >= 0 and token not in self.next[p]:
            self.next[p][token] = state
            p = self.link[p]
        if p >= 0:
            q = self.next[p][token]
            if self.length[q] > self.length[p] + 1:
                same = dict(self.next[q]), self.link[q], self.length[p] + 1, self.count[q], self.end[q]
                twin = self._state(*same)
                while p >= 0 and self.next[p].get(token) == q:
                    self.next[p][token] = twin
                    p = self.link[p]
                self.link[q] = q = twin
            self.link[state] = q
        self.last, self.seen = state, self.end[self.link[state]]
        for _ in range(LINKS):
            self.count[state] += 1
            self.end[state] = len(self.text)
            state = self.link[state]
            if state <= 0:
                break

    def _state(self, following: dict[int, int], link: int, length: int, count: int, end: int) -> int:
        self.next.append(following)
        self.link.append(link)
        self.length.append(length)
        self.count.append(count)
        self.end.append(end)
        return len(self.link) - 1

    def step(self, state: int, length: int, token: int) -> tuple[int, int]:
        """From the longest suffix that stands in this text, of another one, to that with a token more."""
        while state and token not in self.next[state]:
            state = self.link[state]
            length = self.length[state]
        found = self.next[state].get(token)
        return (0, 0) if found is None else (found, length + 1)

    def following(self, state: int) -> list[tuple[int, int, float]]:
        """Tokens that follow a state, the most frequent first: token, state, and share."""
        after = [(t, s, self.count[s]) for t, s in self.next[state].items() if t >= 0]
        whole = sum(count for _, _, count in after)
        return [(t, s, count / whole) for t, s, count in sorted(after, key=lambda x: -x[2])]


class Match(NamedTuple):
    """Where a text's longest repeated suffix stands."""

    length: int
    held: Automaton
    state: int
    end: int  # of its latest place


class Kept:
    """Texts of earlier requests in two generations, the younger first. `version` tells when they changed."""

    def __init__(self) -> None:
        self.young, self.old, self.version = Automaton(), Automaton(), 0

    def keep(self, text: Iterable[int]) -> None:
        if len(self.young.text) >= FULL:
            self.young, self.old = Automaton(), self.young
        for token in (*text, GAP):
            self.young.add(token)
        self.version += 1


class Reader:
    """One row's text, read token by token."""

    def __init__(self, kept: Kept):
        self.kept, self.own = kept, Automaton()
        self.version, self.at = kept.version, [(0, 0), (0, 0)]  # matches in the kept texts

    def match(self, text: list[int]) -> Match:
        """The longest match of the text's end; one in the text itself goes before equal ones."""
        own, first = self.own, len(self.own.text)
        for token in text[first:]:
            own.add(token)
        if self.version != self.kept.version:
            self.version, self.at, first = self.kept.version, [(0, 0), (0, 0)], max(0, len(text) - REACH)
        state = max(0, own.link[own.last])
        best = Match(own.length[state], own, state, own.seen)
        for i, held in enumerate((self.kept.young, self.kept.old)):
            state, length = self.at[i]
            for token in text[first:]:
                state, length = held.step(state, length, token)
            self.at[i] = state, length
            if length > best.length:
                best = Match(length, held, state, held.end[state])
        return best

"""What follows two tokens, in a corpus and in the texts written so far, and a search for what may come.

Everything that is done for each run is compiled: a hundred and fifty rounds of the search take less than a
hundredth of a run of the smallest model. It stands in one file, because numba's cache of a compiled function
does not notice changes of what that calls in other files.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from anyorder.tables import Table

WIDTH = 16  # successors of a pair that a text went through: room for new ones beside the corpus's
LARGEST = 1 << 16  # pairs of texts that are held; with more, all are forgotten


class Trigrams:
    """A table's trigrams, read only, and over them those of the texts written so far.

    A pair that a text goes through is copied from the table and grows from there: so a table is shared by all
    requests and what they add is bounded. `view` is what compiled code takes.
    """

    def __init__(self, table: Table, slots: int = 1 << 10):
        self.table, self.used = table, 0
        self._empty(slots)

    def _empty(self, slots: int) -> None:
        self.keys = np.full(slots, -1, dtype=np.int64)  # open addressing; -1: free
        self.after = np.full((slots, WIDTH), -1, dtype=np.int32)  # the heaviest first; -1: none
        self.weight = np.zeros((slots, WIDTH), dtype=np.float32)

    @property
    def view(self) -> tuple[np.ndarray, ...]:
        t = self.table
        return t.pair, t.first, t.after, t.weight, self.keys, self.after, self.weight

    def learn(self, text: np.ndarray, start: int, window: int, step: float, cap: float) -> None:
        """For each token from `start` on: every trigram in the `window` tokens that end there weighs `step`
        more, `cap` at most."""
        most = self.used + len(text)
        if most > LARGEST // 2:
            self.used, most = 0, len(text)
            self._empty(1 << 10)
        if most > len(self.keys) // 2:
            old = self.keys, self.after, self.weight
            self._empty(1 << (2 * most).bit_length())
            _move(*old, *self.view[4:])
        self.used += int(_learn(self.view, text, start, window, step, cap))

    def following(self, before: int, last: int) -> list[tuple[int, float]]:
        """What follows two tokens, the heaviest first, and its share of their weights."""
        after, weight = np.empty(WIDTH, np.int32), np.empty(WIDTH, np.float32)
        count = follow(self.view, before << 32 | last, after, weight)
        whole = float(weight[:count].sum())
        return [(t, w / whole) for t, w in zip(after[:count].tolist(), weight[:count].tolist())]


@njit(cache=True)
def _slot(keys, key):
    """Where a pair's key is, or the free place where it belongs."""
    mask = len(keys) - 1
    at = ((key ^ (key >> 31)) * np.int64(-7046029254386353131)) >> 32 & mask
    while keys[at] >= 0 and keys[at] != key:
        at = (at + 1) & mask
    return at


@njit(cache=True)
def follow(view, key, after, weight):
    """Write the successors of a pair and their weights into `after` and `weight`, the heaviest first; how
    many they are."""
    pair, first, corpus_after, corpus_weight, keys, own_after, own_weight = view
    at, n = _slot(keys, key), 0
    if keys[at] == key:
        while n < WIDTH and own_after[at, n] >= 0:
            after[n], weight[n] = own_after[at, n], own_weight[at, n]
            n += 1
        return n
    i = np.searchsorted(pair, key)
    if i < len(pair) and pair[i] == key:
        for j in range(first[i], first[i + 1]):
            after[n], weight[n] = corpus_after[j], corpus_weight[j]
            n += 1
    return n


@njit(cache=True)
def _bump(view, key, token, step, cap):
    """One trigram weighs more; whether its pair is new. A full pair gives up its lightest successor."""
    keys, after, weight = view[4], view[5], view[6]
    at = _slot(keys, key)
    new = keys[at] != key
    if new:
        follow(view, key, after[at], weight[at])
        keys[at] = key
    i = 0
    while i < WIDTH - 1 and after[at, i] >= 0 and after[at, i] != token:
        i += 1
    if after[at, i] != token:
        after[at, i], weight[at, i] = token, 0.0
    mine = min(cap, weight[at, i] + step)
    while i > 0 and weight[at, i - 1] < mine:
        after[at, i], weight[at, i] = after[at, i - 1], weight[at, i - 1]
        i -= 1
    after[at, i], weight[at, i] = token, mine
    return new


@njit(cache=True)
def _learn(view, text, start, window, step, cap):
    new = 0
    for end in range(start, len(text)):
        for i in range(max(0, end - window + 1), end - 1):
            key = np.int64(text[i]) << 32 | np.int64(text[i + 1])
            new += _bump(view, key, text[i + 2], step, cap)
    return new


@njit(cache=True)
def _move(keys, after, weight, new_keys, new_after, new_weight):
    for i in range(len(keys)):
        if keys[i] >= 0:
            at = _slot(new_keys, keys[i])
            new_keys[at], new_after[at], new_weight[at] = keys[i], after[i], weight[i]


# the search -------------------------------------------------------------------------------------------------

LENGTH, C1, C2 = 4, 32.0, 8.0  # tokens of a path with the text's last one, and weights of the bound: ADED's
PREFIXES = 24  # paths that are drafted, the most visited


@njit(cache=True)
def drawn(weight, n, state):
    """One of n by weight, and the generator's next state (xorshift)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    left = np.float64(state >> np.uint64(11)) / 9007199254740992.0 * weight[:n].sum()
    i = 0
    while i < n - 1 and left >= weight[i]:
        left -= weight[i]
        i += 1
    return i, state


@njit(cache=True)
def liked(first, count, N, visits, score, prior):
    """The child to go to: the first that was never visited, or the largest upper bound."""
    bonus, best, most = (C1 + np.log((N + C2 + 1) / C2)) * np.sqrt(N), first, -1.0
    for child in range(first, first + count):
        if visits[child] == 0:
            return child
        bound = score[child] / visits[child] + bonus * prior[child] / (1 + visits[child])
        if bound > most:
            best, most = child, bound
    return best


@njit(cache=True)
def search(view, before, last, iterations, state):
    """The tree of the search: token, parent, product of shares, and visits; node 0 is the root."""
    most = 2 + iterations * WIDTH
    token, parent = np.empty(most, np.int64), np.full(most, -1, np.int64)
    prior, chance = np.zeros(most, np.float32), np.ones(most, np.float32)
    kids, count = (
        np.zeros(most, np.int64),
        np.full(most, -1, np.int64),
    )  # first child; how many, -1: not asked
    visits, score = np.zeros(most, np.int64), np.zeros(most)
    after, weight = np.empty(WIDTH, np.int32), np.empty(WIDTH, np.float32)
    token[0], made = last, 1
    for _ in range(iterations):
        node, depth, gain = 0, 0, 0.0
        while count[node] > 0:  # select
            node, depth = liked(kids[node], count[node], visits[node], visits, score, prior), depth + 1
            gain += prior[node]
        a, b = before if parent[node] < 0 else token[parent[node]], token[node]
        if count[node] < 0 and depth < LENGTH - 1:  # expand
            n = follow(view, a << 32 | b, after, weight)
            kids[node], count[node] = made, n
            whole = weight[:n].sum()
            for i in range(n):
                token[made], parent[made], prior[made] = after[i], node, weight[i]
                chance[made] = chance[node] * (weight[i] / whole)  # never above its parent's
                made += 1
            if n:
                node, depth = made - 1, depth + 1
                gain += prior[node]
                a, b = b, token[node]
        while depth < LENGTH - 1:  # roll out
            n = follow(view, a << 32 | b, after, weight)
            if n == 0:
                break
            i, state = drawn(weight, n, state)
            gain += weight[i]
            a, b, depth = b, np.int64(after[i]), depth + 1
        while node >= 0:  # back up
            visits[node] += 1
            score[node] += 1 + gain
            node = parent[node]
    return token[:made], parent[:made], chance[:made], visits[:made]


@njit(cache=True)
def draft(view, before, last, iterations, state):
    """Token, parent and product of shares of the most visited prefixes, each with its heaviest next token."""
    token, parent, chance, visits = search(view, before, last, iterations, state)
    most = 2 * PREFIXES
    tokens, parents, shares = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most)
    after, weight = np.empty(WIDTH, np.int32), np.empty(WIDTH, np.float32)
    place, made = np.full(len(token), -1, np.int64), 0
    order = np.argsort(-visits, kind="mergesort")[
        1 : PREFIXES + 1
    ]  # a parent is visited first, and comes first
    for node in order:
        if visits[node]:
            tokens[made], parents[made], shares[made] = token[node], place[parent[node]], chance[node]
            place[node] = made
            made += 1
    for node in order[:made]:
        before_it = token[parent[node]]
        n = follow(view, before_it << 32 | token[node], after, weight)
        known = False
        for i in range(made):
            known |= n > 0 and parents[i] == place[node] and tokens[i] == after[0]
        if n and not known:
            tokens[made], parents[made] = after[0], place[node]
            shares[made] = chance[node] * (weight[0] / weight[:n].sum())
            made += 1
    return tokens[:made], parents[:made], shares[:made]

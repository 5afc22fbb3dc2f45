"""REST (He et al. 2024, arXiv:2311.08252): what followed the same words in a corpus may follow here.

The longest suffix of the text that stands in the corpus is found in its suffix array, where all places of a
phrase lie side by side, in the order of what follows them. The continuations make a trie; its most frequent
nodes are the draft.
"""

import numpy as np
from numba import njit

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import After, Drafter, by_row
from anyorder.errors import UserError
from anyorder.sizes import best_prefix
from anyorder.tables import corpus as table_of
from anyorder.tables import nothing_known

CARD = Card(
    name="corpus_lookup",
    family="speculative",
    paper="arXiv:2311.08252",
    exact=True,
    kind="point",
    summary="copies what most often followed the same words in a corpus",
    headline="1.62x to 2.36x on 7B and 13B models (REST's abstract)",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("corpus", "", "a .txt, .jsonl or .npz file with texts of the domain", needed=True, local=True),
        Option("nodes", 0, "guesses at most; 64 is the paper's; 0: as many as pay by the measured cost of a "
               "run, 16 where it is not measured", low=0, high=64, unmeasured=16),
    ),
    departures=(
        "all places of a phrase count; the reference counts the first 5000 in alphabetical order",
        "the most frequent nodes are taken one by one, so there are never more than `nodes`; the reference "
        "takes them by threshold and then drops the paths with most different tokens",
        "a node ranks by its share of the places plus one, times the measured chance that such a token is "
        "next, for each step of its depth; this and the cost of a run tell how many nodes pay (ours)",
    ),
)  # fmt: skip

LONGEST, SHORTEST, DEEPEST = 16, 2, 10  # tokens of a phrase, and of a continuation: the paper's
HOLDS = 0.6  # a token with share s is next with the chance s * HOLDS (measured)
FRONT = 4096  # nodes that wait for their turn


@njit(cache=True)
def bound(token, suffix, low, high, ahead, value):
    """The first of the places low..high of the suffix array where the token `ahead` is `value` or more."""
    while low < high:
        middle = (low + high) // 2
        place = suffix[middle] + ahead
        if (token[place] if place < len(token) else -1) < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def places(token, suffix, text, length):
    """Where the last `length` tokens of the text stand in the corpus, in the suffix array."""
    low, high = 0, len(suffix)
    for i in range(length):
        value = text[len(text) - length + i]
        low = bound(token, suffix, low, high, i, value)
        high = bound(token, suffix, low, high, i, value + 1)
    return low, high


@njit(cache=True)
def longest(token, suffix, text):
    """The length of the text's longest suffix that stands in the corpus, and its places."""
    short, long = 0, min(LONGEST, len(text))  # what stands there stands there when shortened, too
    found = 0, 0
    while short < long:
        middle = (short + long + 1) // 2
        low, high = places(token, suffix, text, middle)
        if low < high:
            short, found = middle, (low, high)
        else:
            long = middle - 1
    return short, found[0], found[1]


@njit(cache=True)
def trie(token, suffix, text, nodes, deepest):
    """Token, parent and chance of the most frequent continuations, likeliest first."""
    length, low, high = longest(token, suffix, text)
    made, whole, front = 0, high - low, 1 if length >= SHORTEST else 0
    tokens, parents, chances = np.empty(nodes, np.int64), np.empty(nodes, np.int64), np.empty(nodes)
    waits = np.empty((FRONT, 5), np.int64)  # low, high, depth, parent and token of nodes in the front
    worth = np.empty(FRONT)
    waits[0], worth[0] = (low, high, 0, -1, -1), 1.0
    while front and made < nodes:
        best = worth[:front].argmax()
        low, high, depth, parent, last = waits[best]
        if depth:
            tokens[made], parents[made], chances[made] = last, parent, worth[best]
            parent, made = made, made + 1
        front -= 1
        waits[best], worth[best] = waits[front], worth[front]
        low = bound(token, suffix, low, high, length + depth, 0)  # where a text ends nothing follows
        while low < high and depth < deepest and front < FRONT:
            value = np.int64(token[suffix[low] + length + depth])
            end = bound(token, suffix, low, high, length + depth, value + 1)
            waits[front] = low, end, depth + 1, parent, value
            worth[front] = (end - low) / (whole + 1) * HOLDS ** (depth + 1)
            front, low = front + 1, end
    return tokens[:made], parents[:made], chances[:made]


def corpus_lookup(setting: Setting, corpus: str, nodes: int) -> Drafter:
    if not corpus and setting.encode is not None:
        raise UserError(
            "option corpus is empty; it names a .txt, .jsonl or .npz file with texts of the domain; "
            "give --set corpus=FILE"
        )
    table = nothing_known()
    if corpus:
        table = table_of(corpus, setting.memory, setting.encode, setting.spelling, setting.vocab)
    price = None if nodes else setting.cost
    assert nodes or price is not None, "an open size needs the cost of a run"
    costs = [price(k) for k in range(1, 66)] if price is not None else []

    def guess(canvas: Canvas, row: int) -> Tree:
        text = np.array(canvas.rows[row][-LONGEST:])
        token, parent, chance = trie(table.token, table.suffix, text, nodes or 64, DEEPEST)
        size = len(token)
        if costs:
            size = best_prefix(chance.tolist(), lambda k: costs[k - 1])
        return Tree(tuple(token[:size].tolist()), tuple(parent[:size].tolist()), source=(CARD.name,) * size)

    def rank(canvas: Canvas, row: int) -> After:
        text = canvas.rows[row][-LONGEST:]

        def after(path: tuple[int, ...]) -> list[tuple[int, float]]:
            phrase = np.array([*text, *path][-LONGEST:])
            token, _, chance = trie(table.token, table.suffix, phrase, 8, 1)
            return list(zip(token.tolist(), chance.tolist(), strict=True))

        return after

    return Drafter(by_row(guess), rank=rank)

"""SAM-Decoding (Hu et al. 2025, arXiv:2411.10666): a suffix automaton finds the longest words seen before.

The automaton of the text grows with every token and knows the text's longest suffix that also stands earlier.
What followed there is the draft: a chain, or the tree of what followed most often (SuffixDecoding,
arXiv:2411.04975). Texts of earlier requests have automata of their own; the longest match counts.
"""

import heapq
from weakref import WeakKeyDictionary

from anyorder.automaton import GAP, Kept, Match, Reader
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree, chain
from anyorder.drafter import After, Drafter, by_row
from anyorder.drafters.prompt_lookup import HOLDS, LONGEST, sizes
from anyorder.sizes import best_prefix

CARD = Card(
    name="suffix",
    family="speculative",
    paper="arXiv:2411.10666",
    exact=True,
    kind="point",
    summary="a suffix automaton of the texts so far: what followed the longest repeated phrase",
    headline="SAM-Decoding and SuffixDecoding: about 1.8x to 2.3x with their best settings (from memory)",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("shape", "chain", "what followed the latest place, or what followed most often",
               choices=("chain", "tree")),
        Option("nodes", 0, "tokens drafted at most; 0: as many as pay by the measured cost of a run, 10 "
               "where it is not measured", low=0, high=512, unmeasured=10),
        Option("keep", True, "match in texts of earlier requests, too"),
    ),
    departures=(
        "the latest place of a phrase is copied; the paper's automaton keeps the first",
        "how many tokens pay is told by the length of the match, as for prompt_lookup (ours); the papers "
        "take a fixed number, or a multiple of the length",
        "places are counted along 64 suffix links at most (`anyorder/automaton.py`)",
        "of earlier requests two generations of texts are kept; when the younger is full the older one goes",
    ),
)  # fmt: skip

RANKED = 16  # tokens that are named as what may follow a path


def hold(match: int) -> float:
    return HOLDS[min(match, len(HOLDS)) - 1]


def likeliest(match: Match, nodes: int) -> tuple[list[int], list[int], list[float]]:
    """The most frequent continuations: token, parent and chance to become text, likeliest first."""
    token: list[int] = []
    parent: list[int] = []
    worth: list[float] = []
    front, came = [(-1.0, 0, 0, -1, -1, match.state)], 0  # chance, order, depth, parent, token, state
    while front and len(token) < nodes:
        chance, _, depth, up, t, state = heapq.heappop(front)
        if depth:
            token.append(t)
            parent.append(up)
            worth.append(-chance)
        held, up = hold(match.length + depth), len(token) - 1
        for t, below, share in match.held.following(state)[: nodes - len(token)]:
            came += 1
            heapq.heappush(front, (chance * share * held, came, depth + 1, up, t, below))
    return token, parent, worth


def copied(match: Match, most: int) -> list[int]:
    """What followed the match's latest place, up to the end of that text."""
    after = match.held.text[match.end : match.end + most]
    return after[: after.index(GAP)] if GAP in after else after


def suffix(setting: Setting, shape: str, nodes: int, keep: bool) -> Drafter:
    kept = setting.memory.setdefault(CARD.name, Kept()) if keep else Kept()
    rows: WeakKeyDictionary[Canvas, dict[int, Reader]] = WeakKeyDictionary()
    price = None if nodes else setting.cost
    assert nodes or price is not None, "an open size needs the cost of a run"
    size = sizes(price) if price is not None else [nodes]
    costs = [price(k) for k in range(1, LONGEST + 2)] if price is not None else []

    def found(canvas: Canvas, row: int) -> Match:
        readers = rows.setdefault(canvas, {})
        return readers.setdefault(row, Reader(kept)).match(canvas.rows[row])

    def guess(canvas: Canvas, row: int) -> Tree:
        match = found(canvas, row)
        if not match.length:
            return Tree()
        if shape == "chain":
            return chain(copied(match, size[min(match.length, len(size)) - 1]), source=CARD.name)
        token, parent, worth = likeliest(match, nodes or LONGEST)
        pays = best_prefix(worth, lambda k: costs[k - 1]) if costs else len(token)
        return Tree(tuple(token[:pays]), tuple(parent[:pays]), source=(CARD.name,) * pays)

    def rank(canvas: Canvas, row: int) -> After:
        match = found(canvas, row)

        def after(path: tuple[int, ...]) -> list[tuple[int, float]]:
            state, length = match.state, match.length
            for token in path:
                state, length = match.held.step(state, length, token)
            held = hold(length) if length else 0.0
            return [(t, share * held) for t, _, share in match.held.following(state)[:RANKED] if length]

        return after

    def close() -> None:
        for canvas in rows if keep else ():
            for text in canvas.rows:
                kept.keep(text)
        rows.clear()

    return Drafter(by_row(guess), rank=rank, close=close)

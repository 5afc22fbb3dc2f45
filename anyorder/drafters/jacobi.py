"""Jacobi decoding (Santilli et al. 2023, arXiv:2305.10427): the previous iterate is the next guess.

A block of n guessed tokens is judged in one run, which also says for each of them what the target would have
put there; these answers are the guess of the next run. After r runs at least r tokens are the greedy ones.
"""

from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_argmax
from anyorder.core.types import Tree, chain
from anyorder.drafter import Drafter, by_row

CARD = Card(
    name="jacobi",
    family="speculative",
    paper="arXiv:2305.10427",
    exact=True,
    kind="point",
    summary="iterates a block of guesses to its fixed point",
    headline="ancestor of Lookahead; no figure of its own here",
    cost="1 target run per commit, 1 + nodes cells",
    options=(Option("nodes", 5, "tokens of the block", low=1, high=512),),
    departures=("the block slides: accepted tokens leave it, new guesses repeat its last token (ours)",),
)


def jacobi(setting: Setting, nodes: int) -> Drafter:
    iterates: WeakKeyDictionary[Canvas, dict[int, list[int]]] = WeakKeyDictionary()

    def guess(canvas: Canvas, row: int) -> Tree:
        block = iterates.get(canvas, {}).get(row, [])
        last = block[-1] if block else canvas.rows[row][-1]
        return chain((block + [last] * nodes)[:nodes], source=CARD.name)

    def learn(canvas, trees, seen, paths) -> None:
        for row, best, path in zip(canvas.live, seen, paths, strict=True):
            # line i speaks about the cell i + 1 past the old end; the path fills the first of them
            iterates.setdefault(canvas, {})[row] = best[len(path) :].tolist()

    return Drafter(by_row(guess), look=every_argmax, learn=learn)

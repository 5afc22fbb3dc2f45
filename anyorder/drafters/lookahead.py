"""Lookahead decoding (Fu et al. 2024, arXiv:2402.02057): Jacobi iterates on the side harvest n-grams.

A window of n - 1 past iterates times `window` future positions runs beside the text. Each run appends one
iterate; every column then closes an n-gram, which goes to a pool under its first token. N-grams of the pool
that begin with the text's last token are the draft. The window is itself a tree: the token in iterate r of
column c stands r + c cells past the end and sees iterate 0 up to c, then its own column. One tree holds all.
"""

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_argmax
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row

CARD = Card(
    name="lookahead",
    family="speculative",
    paper="arXiv:2402.02057",
    exact=True,
    kind="point",
    summary="harvests n-grams from Jacobi iterates that run beside the text",
    headline="1.5x to 2.3x on one GPU",
    cost="1 target run per commit, up to 1 + (window + guesses) * (ngram - 1) cells",
    options=(
        Option("window", 3, "future positions iterated", low=1, high=128),
        Option("ngram", 4, "tokens of an n-gram", low=2, high=16),
        Option("guesses", 3, "n-grams judged in a run, and kept per first token", low=1, high=128),
        Option("seed", 0, "of the first iterates, drawn from the prompt", low=0),
    ),
    departures=(
        "all iterates start as tokens of the prompt; the reference fills them one by one",
        "guesses that the window happens to spell are accepted like any other",
        "n-grams of the prompt are in the pool from the start",
        "defaults are small, for CPUs (ours)",
    ),
)


@dataclass
class State:
    window: np.ndarray  # [n - 1, W] iterates, the oldest first
    pool: dict[int, dict[tuple[int, ...], None]] = field(default_factory=dict)  # newest last

    def put(self, gram: tuple[int, ...], most: int) -> None:
        grams = self.pool.setdefault(gram[0], {})
        grams.pop(gram[1:], None)
        grams[gram[1:]] = None
        if len(grams) > most:
            del grams[next(iter(grams))]


def lookahead(setting: Setting, window: int, ngram: int, guesses: int, seed: int) -> Drafter:
    states: WeakKeyDictionary[Canvas, dict[int, State]] = WeakKeyDictionary()

    def state(canvas: Canvas, row: int) -> State:
        rows = states.setdefault(canvas, {})
        if row not in rows:
            text = canvas.rows[row]
            draw = np.random.default_rng(seed).integers(len(text), size=(ngram - 1, window))
            rows[row] = State(np.array(text)[draw])
            for i in range(len(text) - ngram + 1):
                rows[row].put(tuple(text[i : i + ngram]), guesses)
        return rows[row]

    def guess(canvas: Canvas, row: int) -> Tree:
        now = state(canvas, row)
        token: list[int] = []
        parent: list[int] = []
        for gram in reversed(now.pool.get(canvas.rows[row][-1], {})):  # the newest first
            parent += [-1, *range(len(token), len(token) + ngram - 2)]
            token += gram
        first = len(token)
        token += now.window.flatten().tolist()
        parent += [-1, *range(first, first + window - 1)]  # iterate 0 is a chain
        parent += range(first, len(token) - window)  # and columns hang on it
        source = ["lookahead"] * first + ["window"] * (len(token) - first)
        return Tree(tuple(token), tuple(parent), source=tuple(source))

    def learn(canvas, trees, seen, paths) -> None:
        for row, tree, best in zip(canvas.live, trees, seen, strict=True):
            if tree.source.count("window") < window * (ngram - 1):  # the window was not judged, or not whole
                continue
            now, newest = state(canvas, row), best[-window:]  # what follows the newest iterate, by column
            for column, token in zip(now.window.T, newest, strict=True):
                now.put((*column.tolist(), int(token)), guesses)
            now.window = np.vstack([now.window[1:], newest])

    return Drafter(by_row(guess), look=every_argmax, learn=learn)

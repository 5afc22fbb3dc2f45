"""Token Recycling (Luo et al. 2025, arXiv:2408.08696): the target's own runners-up are the next guesses.

A matrix holds for every token the k likeliest successors seen when it was last processed. A static tree is
filled from it breadth first, starting at the text's last token; one run judges the tree and refreshes the
matrix rows of all its tokens, accepted or not.
"""

import heapq
from pathlib import Path

import numpy as np

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import every_top
from anyorder.core.types import Tree
from anyorder.drafter import After, Drafter, Ranked, by_row
from anyorder.sizes import best_prefix

CARD = Card(
    name="token_recycling",
    family="speculative",
    paper="arXiv:2408.08696",
    exact=True,
    kind="point",
    summary="the target's own runners-up, kept in a matrix, fill a static tree",
    headline="2.03x for Vicuna-7B on Spec-Bench with 80 nodes",
    cost="1 target run per commit, up to 1 + nodes cells",
    options=(
        Option("nodes", 0, "nodes of the static tree; 80 is the paper's; 0: as many as pay by the measured "
               "cost of a run, 8 where it is not measured", low=0, high=80, unmeasured=8),
        Option("keep", True, "keep the matrix between requests"),
        Option("matrix", "",
               "a .npy file to read the matrix from, if it is there, and to save it to", local=True),
    ),
    departures=(
        "below 80 nodes the tree is the best part of the paper's, by measured rank frequencies (ours)",
        "how many nodes pay is told from the same frequencies and the measured cost of a run (ours)",
        "successors not seen yet are left out instead of drafting token 0",
        "of several nodes with one token the last in breadth-first order refreshes the matrix",
    ),
)  # fmt: skip

K = 8  # successors kept for a token
TEMPLATE = (  # children of each node, breadth first, the paper's tree "2.2.2"; childless tails left out
    (8,), (8, 4, 3, 2, 1, 1, 1, 1),
    (8, 3, 2, 1, 1, 1, 1, 1, 2, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0),
    (5, 2, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0),
    (3, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0), (2, 0, 0, 1, 0, 0, 0, 0),
)  # fmt: skip
# how often the r-th successor is next (measured)
RANK = (0.41, 0.086, 0.046, 0.030, 0.021, 0.016, 0.013, 0.012)


def template() -> tuple[list[int], list[int]]:
    """Parents and child ranks of the paper's 80 nodes, breadth first; parent -1 is the text's last token."""
    parent: list[int] = []
    rank: list[int] = []
    level = [-1]
    for counts in TEMPLATE:
        below = []
        for node, count in zip(level, counts, strict=True):
            for r in range(count):
                below.append(len(parent))
                parent.append(node)
                rank.append(r)
        level = below
    return parent, rank


def worths(parent: list[int], rank: list[int]) -> list[float]:
    """The chance that each node becomes text: the product of the rank frequencies on its path."""
    worth = [1.0]  # of the text's last token
    for p, r in zip(parent, rank, strict=True):
        worth.append(worth[p + 1] * RANK[r])
    return worth[1:]


def part(nodes: int) -> tuple[list[int], list[int]]:
    """The template's `nodes` likeliest nodes."""
    parent, rank = template()
    worth = worths(parent, rank)
    chosen = sorted(heapq.nsmallest(nodes, range(len(parent)), key=lambda i: (-worth[i], i)))
    place = {-1: -1} | {old: new for new, old in enumerate(chosen)}
    return [place[parent[i]] for i in chosen], [rank[i] for i in chosen]


def fill(matrix: np.ndarray, root: int, parent: list[int], rank: list[int]) -> Tree:
    """The static tree with tokens; nodes whose successor is not known, or known twice, are left out."""
    token: list[int] = []
    up: list[int] = []
    place = {-1: -1}
    for node, (p, r) in enumerate(zip(parent, rank, strict=True)):
        if p in place and r < matrix.shape[1]:
            successor = int(matrix[token[place[p]] if p >= 0 else root, r])
            if successor >= 0:
                place[node] = len(token)
                token.append(successor)
                up.append(place[p])
    return Tree(tuple(token), tuple(up), source=(CARD.name,) * len(token))


def token_recycling(setting: Setting, nodes: int, keep: bool, matrix: str) -> Drafter:
    file, shape = Path(matrix), (setting.vocab, min(K, setting.vocab))
    if matrix and file.exists():
        loaded = np.load(file)
        if loaded.shape != shape:
            raise ValueError(
                f"matrix {matrix} is {loaded.shape}; this model needs {shape}; name another file"
            )
        setting.memory[CARD.name] = loaded
    fresh = np.full(shape, -1, dtype=np.int32)
    table = setting.memory.setdefault(CARD.name, fresh) if keep or matrix else fresh
    if not nodes:
        assert setting.cost is not None, "an open size needs the cost of a run"
        nodes = best_prefix(sorted(worths(*template()), reverse=True), setting.cost)
    parent, rank = part(nodes)

    def guess(canvas: Canvas, row: int) -> Tree:
        return fill(table, canvas.rows[row][-1], parent, rank)

    def ranked(canvas: Canvas, row: int) -> After:
        last = canvas.rows[row][-1]

        def after(path: tuple[int, ...]) -> Ranked:
            successors = table[path[-1] if path else last].tolist()
            return [pair for pair in zip(successors, RANK) if pair[0] >= 0]

        return after

    def learn(canvas, trees, seen, paths) -> None:
        for row, tree, top in zip(canvas.live, trees, seen, strict=True):
            table[[canvas.rows[row][-1], *tree.token]] = top

    def close() -> None:
        if matrix:
            np.save(file, table)
        if not keep:
            table.fill(-1)

    return Drafter(by_row(guess), look=every_top(shape[1]), learn=learn, close=close, rank=ranked)

"""Building trees of guesses: from paths, from pieces of other trees."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import torch

from anyorder.core.types import Tree


def branches(paths: Sequence[Sequence[int]], source: str = "") -> Tree:
    """The prefix tree of several token paths, duplicates merged, first come first placed.

    >>> branches([[5, 6], [5, 7]]).parent
    (-1, 0, 0)
    """
    token: list[int] = []
    parent: list[int] = []
    place: dict[tuple[int, int], int] = {}
    for path in paths:
        node = -1
        for t in path:
            key = (node, t)
            if key not in place:
                place[key] = len(token)
                token.append(t)
                parent.append(node)
            node = place[key]
    return Tree(tuple(token), tuple(parent), None, (source,) * len(token))


def part(tree: Tree, nodes: Sequence[int]) -> Tree:
    """The tree of these nodes; with each its parent, in rising order."""
    place = {-1: -1} | {old: new for new, old in enumerate(nodes)}
    return Tree(
        tuple(tree.token[i] for i in nodes),
        tuple(place[tree.parent[i]] for i in nodes),
        None if tree.q is None else tree.q[torch.tensor(nodes, dtype=torch.long)],
        tuple(tree.source[i] for i in nodes) if tree.source else (),
        tree.soft,
    )


def fit(tree: Tree, deepest: int) -> Tree:
    """The tree without what lies deeper; the tree itself where nothing does."""
    nodes = [i for i, depth in enumerate(tree.depth) if depth <= deepest]
    return tree if len(nodes) == len(tree) else part(tree, nodes)


def mixture(weights: Mapping[int, float]) -> int:
    """The negative token that names a mixture of tokens' embeddings, for `Tree.soft`.

    >>> mixture({3: 0.5, 4: 0.5}) == mixture({4: 0.5, 3: 0.5}) < 0
    True
    """
    said = repr(sorted(weights.items())).encode()
    return -1 - (zlib.crc32(said) << 31 | zlib.adler32(said) >> 1)

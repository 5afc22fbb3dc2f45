"""Verifiers: which guesses become text. Each is a reader of the one target run that judged the tree.

All return, for each live row, the accepted tokens and one more token of the target's own.

- `greedy`: follow the guess that is the target's likeliest token. Exact for any guess (greedy text).
- `match`: draw the target's token at each node, follow the guess that is it. Exact in law for any guess, and
  for one seed the very text of plain sampling, because all noise belongs to row and position.
- `residual`: multi-round speculative sampling. With R the law still owed (at first p), a guess x drawn from
  q is accepted with probability min(1, R(x)/q(x)); else R becomes norm(max(R - q, 0)). For a chain this is
  Leviathan et al. 2023, algorithm 1; for independent siblings SpecInfer (arXiv:2305.09781); for siblings
  without replacement, whose q is what was left when they were drawn, Sequoia (arXiv:2402.12374). A
  deterministic guess is a draw from the point mass on itself.
- `ratio`: one ratio test p(x)/q(x), then norm(max(p - q, 0)); for chains, where it is what `residual` does.
- `k_seq`: SpecTr's sequential selection (arXiv:2310.15141) among k independent drafts of one q. Each is
  accepted with probability min(1, p(x) / (rho q(x))), for the least rho in [1, k] that leaves a law to draw
  from if none is.

`docs/exactness.md` shows every pair of draft and verifier enumerated, those that are refused too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor

from anyorder.core.chance import Chance
from anyorder.core.readers import together
from anyorder.core.types import Answer, Lines, Reader, Tree
from anyorder.methods.speculative.k_seq import Accept, Drafts, Select, rest, sequential

LEGAL = {  # (kind of draft, verifier) -> what is exact; pairs that are missing are refused when built
    ("point", "greedy"): "text", ("point", "match"): "text and law", ("point", "residual"): "law",
    ("chain", "greedy"): "text", ("chain", "match"): "text and law", ("chain", "residual"): "law",
    ("chain", "ratio"): "law", ("chain", "k_seq"): "law",
    ("iid", "greedy"): "text", ("iid", "match"): "text and law", ("iid", "residual"): "law",
    ("iid", "k_seq"): "law",
    ("distinct", "greedy"): "text", ("distinct", "match"): "text and law", ("distinct", "residual"): "law",
}  # fmt: skip

Paths = list[list[int]]


@together
def greedy(answer: Answer, chance: Chance) -> Paths:
    """Greedy match on trees: walk while a child carries the argmax."""
    best = answer.logits.argmax(-1).tolist()
    return [walk(lines, best[lines.start : lines.start + lines.count].__getitem__) for lines in answer.rows]


def match(answer: Answer, chance: Chance) -> Paths:
    """Sample and match: one draw per node that is reached, never one per branch."""

    def draw(lines: Lines) -> list[int]:
        def token(line: int) -> int:
            logits = answer.logits[lines.start + line]
            return chance.pick(logits, lines.row, lines.position(line))

        return walk(lines, token)

    return [draw(lines) for lines in answer.rows]


def walk(lines: Lines, token: Callable[[int], int]) -> list[int]:
    """Follow the guesses that are the tokens `token` says the target puts after each line."""
    children = lines.tree.children()
    nodes = [-1]  # a tree may spell one path twice and go on differently
    path: list[int] = []
    while nodes:
        path.append(token(nodes[0] + 1))
        below = [child for node in nodes for child in children.get(node, ())]
        nodes = [child for child in below if lines.tree.token[child] == path[-1]]
    return path


def rounds(p: Tensor, drafts: Drafts, accept: Accept) -> int | Tensor:
    """Multi-round speculative sampling; every sibling is judged against the law it was drawn from."""
    for token, q in drafts:
        if accept(p[token] / q[token]):
            return token
        p = rest(p, q)  # R, the law still owed
    return p


def once(p: Tensor, drafts: Drafts, accept: Accept) -> int | Tensor:
    """Algorithm 1 of Leviathan et al. A second sibling ought to be judged against what is owed by then."""
    owed = p
    for token, q in drafts:
        if accept(p[token] / q[token]):
            return token
        owed = rest(p, q)
    return owed


def _judged(select: Select) -> Reader:
    def rule(answer: Answer, chance: Chance) -> Paths:
        return [_judge(answer.logits, lines, chance, select) for lines in answer.rows]

    return rule


def _judge(logits: Tensor, lines: Lines, chance: Chance, select: Select) -> list[int]:
    tree, children = lines.tree, lines.tree.children()
    nodes = [-1]  # as in `walk`
    path: list[int] = []
    while True:
        p = logits[lines.start + 1 + nodes[0]].double().softmax(-1)
        row, position = lines.row, lines.position(nodes[0] + 1)
        below = [i for node in nodes for i in children.get(node, ()) if tree.token[i] >= 0]  # no soft ones
        drafts = ((tree.token[i], _law(tree, i, p)) for i in below)
        chosen = select(p, drafts, _tries(chance, row, position))
        if not isinstance(chosen, int):
            return [*path, chance.pick(chosen.log(), row, position)]
        path.append(chosen)
        nodes = [i for i in below if tree.token[i] == chosen]


def _tries(chance: Chance, row: int, position: int) -> Accept:
    """The flips of one place, each with noise of its own."""
    turn = count()
    return lambda x: chance.flip(float(x), row, position, next(turn))


def _law(tree: Tree, node: int, like: Tensor) -> Tensor:
    if tree.q is not None:
        return tree.q[node].to(like)
    return torch.zeros_like(like).index_fill_(0, torch.tensor([tree.token[node]], device=like.device), 1.0)


residual, ratio, k_seq = _judged(rounds), _judged(once), _judged(sequential)
RULES = {"greedy": greedy, "match": match, "residual": residual, "ratio": ratio, "k_seq": k_seq}

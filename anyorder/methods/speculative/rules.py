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
- `ratio`: the same, for chains only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from anyorder.core.chance import Chance
from anyorder.core.readers import together
from anyorder.core.types import Answer, Lines

LEGAL = {  # (kind of draft, verifier) -> what is exact; pairs that are missing are refused when built
    ("point", "greedy"): "text", ("point", "match"): "text and law", ("point", "residual"): "law",
    ("chain", "greedy"): "text", ("chain", "match"): "text and law", ("chain", "residual"): "law",
    ("chain", "ratio"): "law",
    ("iid", "greedy"): "text", ("iid", "match"): "text and law", ("iid", "residual"): "law",
    ("distinct", "greedy"): "text", ("distinct", "match"): "text and law", ("distinct", "residual"): "law",
}  # fmt: skip

Paths = list[list[int]]


@together
def greedy(answer: Answer, chance: Chance) -> Paths:
    """Greedy match on trees: walk while a child carries the argmax."""
    best = answer.logits.argmax(-1).tolist()
    return [_walk(lines, best[lines.start : lines.start + lines.count].__getitem__) for lines in answer.rows]


def match(answer: Answer, chance: Chance) -> Paths:
    """Sample and match: one draw per node that is reached, never one per branch."""

    def draw(lines: Lines) -> list[int]:
        def token(line: int) -> int:
            logits = answer.logits[lines.start + line]
            return chance.pick(logits, lines.row, lines.position(line))

        return _walk(lines, token)

    return [draw(lines) for lines in answer.rows]


def _walk(lines: Lines, token: Callable[[int], int]) -> list[int]:
    """Follow the guesses that are the tokens `token` says the target puts after each line."""
    children = lines.tree.children()
    nodes = [-1]  # a tree may spell one path twice and go on differently
    path: list[int] = []
    while nodes:
        path.append(token(nodes[0] + 1))
        below = [child for node in nodes for child in children.get(node, ())]
        nodes = [child for child in below if lines.tree.token[child] == path[-1]]
    return path


def residual(answer: Answer, chance: Chance) -> Paths:
    """Multi-round speculative sampling; every sibling is judged against the law it was drawn from."""
    return [_judge(answer.logits, lines, chance) for lines in answer.rows]


ratio = residual


def _judge(logits: Tensor, lines: Lines, chance: Chance) -> list[int]:
    tree, children = lines.tree, lines.tree.children()
    node = -1
    path: list[int] = []
    while True:
        owed = logits[lines.start + 1 + node].double().softmax(-1)  # R
        position = lines.position(node + 1)
        for turn, child in enumerate(children.get(node, ())):
            token = tree.token[child]
            q = _law(tree.q[child] if tree.q is not None else None, token, owed)
            if chance.flip(float(owed[token] / q[token]), lines.row, position, turn):
                break
            owed = _rest(owed, q)
        else:
            return [*path, chance.pick(owed.log(), lines.row, position)]
        path.append(token)
        node = child


def _law(q: Tensor | None, token: int, like: Tensor) -> Tensor:
    if q is None:
        return torch.zeros_like(like).index_fill_(0, torch.tensor([token], device=like.device), 1.0)
    return q.to(like)


def _rest(owed: Tensor, q: Tensor) -> Tensor:
    """norm(max(R - q, 0)); R itself where rounding leaves nothing (p = q)."""
    rest = (owed - q).clamp_(min=0)
    total = rest.sum()
    return rest / total if total > 0 else owed


RULES = {"greedy": greedy, "match": match, "residual": residual, "ratio": ratio}

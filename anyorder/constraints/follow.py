"""The shaper that holds texts to a constraint, along guesses as along text, and lets them end in time.

Every line of an answer is about a text: the row and the guessed path. A trie of states, one for each text
that was seen, tells what may follow. So trees, beams, draft nets and plain loops are shaped alike, and a text
that goes on after a rollback or a fork finds its state.

Ending in time (ours): a state knows some way to an end (`State.finish`). While more tokens are left than that
way takes, and one token cannot put the end off by more than `jump`, all that the constraint allows may
follow. Where it gets narrow, only the likeliest few tokens may that still leave a way, and the way's own next
token. So a text ends within the budget, if its start could.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anyorder.constraints.states import Bits, State, Vocabulary, has, reaches
from anyorder.core.canvas import Canvas
from anyorder.errors import UserError
from anyorder.shapers import Context

INFINITY = float("inf")
NODES = 2048  # of the trie; then it is begun again
FEW = 6  # likeliest tokens looked at where it gets narrow
AGAIN = 8  # tokens after which an unknown end is looked for again


@dataclass(eq=False)
class Node:
    """One text. `state` None: it does not obey, or it ended."""

    state: State | None
    depth: int  # tokens
    before: Node | None = None
    token: int = -1
    next: dict[int, Node] = field(default_factory=dict)
    bits: Bits | None = None  # what may follow, once asked
    due: int = 0  # the depth at which the way to an end is looked at again; 0: not known yet
    end: list[int] | None = None  # where it gets narrow: a way to an end
    lost: bool = False  # no way to an end within the budget is known

    def text(self) -> list[int]:
        tokens, node = [], self
        while node.before is not None:
            tokens.append(node.token)
            node = node.before
        return tokens[::-1]


class Follow:
    """A constraint over one request of at most `budget` tokens."""

    def __init__(self, start: State, vocabulary: Vocabulary, budget: int, jump: int, name: str):
        self.start, self.vocabulary, self.budget, self.jump = start, vocabulary, budget, jump
        self.name = name
        self.root, self.count = Node(start, 0), 1

    # texts -------------------------------------------------------------------------------------------------

    def node(self, tokens: Sequence[int]) -> Node:
        node = self.root
        for token in tokens:
            node = self.after(node, token)
        return node

    def after(self, node: Node, token: int) -> Node:
        if token not in node.next:
            state = None
            if node.state is not None and token >= 0 and token not in self.vocabulary.eos:
                state = node.state.after([token])
            node.next[token] = Node(state, node.depth + 1, node, token)
            self.count += 1
        return node.next[token]

    def lines(self, context: Context) -> Iterator[tuple[int, Node, bool]]:
        """(line, its text, whether that is a row's own), in the layout that `Context.counts` tells of."""
        first, start = 0, context.canvas.prompt
        for lines in context.answer.rows:
            row = context.canvas.rows[lines.row]
            if lines.cells is not None:
                inside = [(i, cell) for i, cell in enumerate(lines.cells) if cell >= start]
                yield from ((lines.start + i, self.node(row[start:cell]), False) for i, cell in inside)
                continue
            nodes = {-1: self.node(row[start:])}
            if lines.start >= first:
                yield lines.start, nodes[-1], True
            for i, (token, parent) in enumerate(zip(lines.tree.token, lines.tree.parent, strict=True)):
                nodes[i] = self.after(nodes[parent], token)
                if lines.start + 1 + i >= first:
                    yield lines.start + 1 + i, nodes[i], False
            first = max(first, lines.start + lines.count)

    def allowed(self, node: Node) -> Bits:
        if node.bits is None:
            assert node.state is not None, "only a text that obeys has something that may follow"
            bits = node.state.allowed()
            node.bits = self.vocabulary.all if bits is None else bits
        return node.bits

    # the way to an end -------------------------------------------------------------------------------------

    def look_ahead(self, node: Node) -> None:
        """Let the node know whether it gets narrow there, as a function of its text."""
        way = []
        at: Node | None = node
        while at is not None and not at.due:
            way.append(at)
            at = at.before
        for one in reversed(way):
            self._look(one)

    def _look(self, node: Node) -> None:
        before, left = node.before, self.budget - node.depth
        if node.state is None or left <= 0:  # nothing is written there
            node.due, node.lost = node.depth + AGAIN, node.state is None or not node.state.complete
            return
        if before is not None and before.due > node.depth:
            node.due = before.due
            return
        node.end = self._end(node, left)
        node.lost = node.end is None
        node.due = node.depth + (AGAIN if node.end is None else 1)
        if node.end is not None and (room := left - len(node.end) - self.jump) > 0:
            node.end, node.due = None, node.depth - (-room // (1 + self.jump))

    def _end(self, node: Node, left: int) -> list[int] | None:
        """The way from the text before, if it leads on from here; else one that is looked for."""
        assert node.state is not None
        known = node.before.end if node.before is not None else None
        if known and known[0] == node.token:
            return known[1:]
        if known is not None and len(known) <= left and reaches(node.state, known):
            return known
        return node.state.finish(left)

    def narrow(self, logits: Tensor, node: Node) -> None:
        """Leave of a line [V] that holds what is allowed the likeliest few that can end in time."""
        assert node.end is not None
        keep = set(node.end[:1])
        if len(node.end) < self.budget - node.depth:
            best = logits.topk(min(FEW, len(logits)))
            liked = [t for t, x in zip(best.indices.tolist(), best.values.tolist()) if x > -INFINITY]
            keep |= {t for t in liked if t in self.vocabulary.eos or self._in_time(self.after(node, t))}
        if not node.end:
            keep |= {t for t in self.vocabulary.eos if has(self.allowed(node), t)}
        if not keep:
            return
        kept = torch.tensor(sorted(keep), dtype=torch.long, device=logits.device)
        values = logits[kept]
        logits.fill_(-INFINITY)
        logits[kept] = values

    def _in_time(self, node: Node) -> bool:
        if node.state is None:
            return False
        self.look_ahead(node)
        return not node.lost

    # shaping -----------------------------------------------------------------------------------------------

    def __call__(self, logits: Tensor, context: Context) -> Tensor:
        if self.count > NODES:
            self.root, self.count = Node(self.start, 0), 1
        lines = list(self.lines(context))
        mask = np.zeros((len(logits), self.vocabulary.width), dtype=np.uint8)  # 1: not allowed
        for line, node, _ in lines:
            if node.state is not None:
                mask[line] = ~self.allowed(node)
        out = np.unpackbits(mask, axis=1, bitorder="little")[:, : logits.shape[1]]
        logits.masked_fill_(torch.from_numpy(out).view(torch.bool).to(logits.device), -INFINITY)
        self._never_stuck(logits, [(line, node) for line, node, own in lines if own])
        for line, node, _ in lines:
            if node.state is not None:
                self.look_ahead(node)
                if node.end is not None:
                    self.narrow(logits[line], node)
        return logits

    def _never_stuck(self, logits: Tensor, rows: list[tuple[int, Node]]) -> None:
        """Raise UserError where no row can go on. A row that does not obey is never the likeliest."""
        if not rows:
            return
        best = logits[[line for line, _ in rows]].amax(-1).tolist()
        if any(node.state is not None and x > -INFINITY for (_, node), x in zip(rows, best)):
            return
        node = rows[0][1]
        while node.state is None and node.before is not None:
            node = node.before
        text = self.vocabulary.spell(node.text())
        raise UserError(
            f"no token is allowed after {text!r} by {self.name}; a constraint allows something until the "
            "text may end; correct it or drop one of them"
        )

    def forced(self, canvas: Canvas, row: int) -> list[int]:
        """What must follow a row's text, most likely; guesses that cost no draft."""
        node = self.node(canvas.generated(row))
        if node.state is None:
            return []
        self.look_ahead(node)
        left = self.budget - node.depth
        if node.end and len(node.end) >= left:
            return node.end
        return node.state.forced()[:left]

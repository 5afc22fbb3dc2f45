"""Chains that a quicker net writes behind the text, for the target to judge.

The quicker net is the target with its weights in 4 bits (net "quant"). It writes its likeliest tokens;
drafters that rank may guess inside its runs, so that one run writes several. The margin of the likeliest
token over the next tells how sure it is that the target thinks the same: counted as decoding goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import top
from anyorder.core.types import Answer, Ask, Reader, Tree
from anyorder.drafter import After
from anyorder.sizes import Counts, Grown, Price, grow, price_of

NET = "quant"
NONE = Grown([], [], 1.0, 0.0)
KNOWN = 3.0  # tokens expected of a run: the drafters know how the text goes on, and the target may judge
MOST = 16  # guesses of drafters behind a chain
BUCKET, BUCKETS = 0.25, 12  # margins, in logits, that are told apart
CLOSE = (0.85, 0.93)  # chances of small margins before any were counted; larger ones are taken for sure
SURE, SIDE = (
    0.99,
    0.95,
)  # the chance of a large margin; below SIDE the next likeliest token is guessed as well


@dataclass
class Chain:
    """What the 4-bit net wrote behind one row."""

    token: list[int] = field(default_factory=list)
    next: list[int] = field(default_factory=list)  # the next likeliest token at each place
    bucket: list[int] = field(default_factory=list)  # of the margin
    sure: float = 1.0  # the chance that all hold
    worth: float = 1.0  # tokens that the target's run is expected to commit
    seconds: float = 0.0  # of the 4-bit net's runs
    open: bool = True
    tail: Grown = NONE  # what drafters guess behind the chain

    def tree(self, counts: Counts, source: str) -> Tree:
        """The chain, and beside each unsure token the next likeliest."""
        parent = list(range(-1, len(self.token) - 1))
        sides = [d for d, bucket in enumerate(self.bucket) if chance_of(counts, bucket) < SIDE]
        token = [*self.token, *self.tail.token, *(self.next[d] for d in sides)]
        parent += [p + len(self.token) for p in self.tail.parent]
        return Tree(tuple(token), (*parent, *(d - 1 for d in sides)), source=(source,) * len(token))


def chance_of(counts: Counts, bucket: int) -> float:
    return counts.chance(bucket, CLOSE[bucket] if bucket < len(CLOSE) else SURE)


def write(
    canvas: Canvas, setting: Setting, counts: Counts, afters: Sequence[After | None],
    tokens: int, least: float, nodes: int,
) -> Generator[Ask, Any, list[Chain]]:  # fmt: skip
    """Let the 4-bit net write behind every live row, with guesses of `afters` inside its runs."""
    chains = [Chain() for _ in canvas.live]
    room = [min(tokens, canvas.prompt + canvas.budget - len(canvas.rows[row]) - 1) for row in canvas.live]
    length = max(len(canvas.rows[row]) for row in canvas.live)
    cost, judge = price_of(setting, length, NET)[0], price_of(setting, length)[0]
    for chain, most in zip(chains, room, strict=True):
        chain.open = most > 0
    while any(chain.open for chain in chains):
        inner = [_inside(chain, after, cost, nodes) for chain, after in zip(chains, afters, strict=True)]
        for chain, grown in zip(chains, inner, strict=True):
            chain.open = chain.open and not (chain.token and grown.worth > KNOWN)
        if not any(chain.open for chain in chains):
            break
        trees = tuple(_behind(chain, grown) for chain, grown in zip(chains, inner, strict=True))
        lengths = [len(chain.token) for chain in chains]
        found = yield Ask(_walk(lengths), guess=trees, net=NET, skip=min(lengths))
        for chain, grown, steps, most in zip(chains, inner, found, room, strict=True):
            if not chain.open:
                continue
            chain.seconds += grown.seconds
            for token, other, bucket in steps[: most - len(chain.token)]:
                chain.token.append(token)
                chain.next.append(other)
                chain.bucket.append(bucket)
                chain.sure *= chance_of(counts, bucket)
                chain.worth += chain.sure
            chain.open = (
                len(chain.token) < most and chain.sure >= least and not set(chain.token) & set(setting.eos)
            )
    for chain, after, row in zip(chains, afters, canvas.live, strict=True):
        left = canvas.prompt + canvas.budget - len(canvas.rows[row]) - 1 - len(chain.token)
        if after is not None and chain.token and left > 0:
            chain.tail = _behind_all(chain, after, judge)
    return chains


def _behind_all(chain: Chain, after: After, judge: Price) -> Grown:
    """Guesses behind a whole chain, as many as pay in the target's run over both."""
    path = tuple(chain.token)
    share = chain.worth / chain.sure - 1.0  # so that all counts by what a token behind the chain is worth
    return grow(lambda more: after((*path, *more)), lambda k: judge(k + len(path)), MOST, share)


def _inside(chain: Chain, after: After | None, cost: Price, nodes: int) -> Grown:
    """Guesses behind a chain that is still being written, as many as pay in the 4-bit net's run."""
    path = tuple(chain.token)
    if after is None or not chain.open:
        return Grown([], [], 1.0, cost(1))
    return grow(lambda more: after((*path, *more)), cost, nodes)


def _behind(chain: Chain, grown: Grown) -> Tree:
    length = len(chain.token)
    token = (*chain.token, *grown.token)
    return Tree(token, (*range(-1, length - 1), *(p + length for p in grown.parent)))


def _walk(lengths: Sequence[int]) -> Reader:
    """For each live row: the likeliest tokens behind its chain as far as guesses follow them, each with the
    next likeliest and the bucket of its margin."""

    def read(answer: Answer, chance: Chance) -> list[list[tuple[int, int, int]]]:
        two = top(answer.logits, 2)
        margin = answer.logits.gather(1, two).float() @ torch.tensor([1.0, -1.0])
        best, bucket = two.tolist(), (margin / BUCKET).clamp(0, BUCKETS - 1).int().tolist()
        out = []
        for lines, length in zip(answer.rows, lengths, strict=True):
            children, node, steps = lines.tree.children(), length - 1, []
            while node >= -1:
                at = lines.start + 1 + node
                steps.append((best[at][0], best[at][1], bucket[at]))
                node = next((c for c in children.get(node, ()) if lines.tree.token[c] == best[at][0]), -2)
            out.append(steps)
        return out

    return read


def learned(counts: Counts, chain: Chain, path: Sequence[int]) -> None:
    """Which of a chain's tokens became text, up to the first that did not."""
    for token, bucket, true in zip(chain.token, chain.bucket, path):
        counts.add(bucket, token == true)
        if token != true:
            return

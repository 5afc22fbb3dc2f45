"""A body that computes next to nothing: what follows a token is a fixed law of that token."""

from __future__ import annotations

import torch

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.nets.causal import Causal
from anyorder.nets.feed import Feed
from anyorder.nets.memory import Memory

V = 40


class Blank:
    """Each cell takes one byte of cache. `seen` collects the cells of every run."""

    vocab, context, cell_bytes = V, 1 << 20, 1

    def __init__(self) -> None:
        self.law = torch.randn(V, V, generator=torch.Generator().manual_seed(7))
        self.seen: list[int] = []

    def store(self, slots: int) -> None:
        return None

    def __call__(self, feed: Feed, store: None):
        self.seen.append(len(feed))
        token = torch.tensor([feed.token[i] for i in feed.lines], dtype=torch.long)
        logits = self.law[token]
        return logits, logits, {}


def net(budget: int = 1 << 20) -> Causal:
    return Causal(Blank(), Memory(budget))


def request(target: Causal, prompt, budget: int, method, seed: int = 0, **more) -> Request:
    return Request(Canvas(prompt, budget), method, {"target": target}, chance=Chance(seed), **more)


def held(target: Causal) -> set[int]:
    """Every slot that somebody holds, from the tips and guesses down to the roots."""
    tips = [path.tip for h in target.held.values() for path in h.rows] + list(target.left.values())
    tips += [slot for h in target.held.values() for slot in h.guesses]
    found: set[int] = set()
    for slot in tips:
        while slot >= 0 and slot not in found:
            found.add(slot)
            slot = target.slots.parent[slot]
    return found


def drop_idle(target: Causal) -> None:
    while target.idle() is not None:
        target.drop_idle()

"""Filling cells in any order: what a policy sees of an answer, and the loop that policies share.

A policy says which of the cells it was told about become text. `unmask` asks for the holes of one block after
another and commits what the policy picks, at least one cell a run:

>>> def threshold(seen):                        # Fast-dLLM: every cell that is sure enough
...     return [i for i in range(len(seen)) if seen.sure[i] >= 0.9]
>>> method = lambda canvas: unmask(canvas, look(greedy=True), threshold)

Ties of confidence go to the leftmost cell, ties of tokens to the lowest id, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import likeliest, together
from anyorder.core.types import EXACT, Answer, Ask, Cells, Commit, Flow, Reader


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer says of n asked cells of one live row."""

    row: int
    cells: tuple[int, ...]  # [n] positions
    token: tuple[int, ...]  # [n] the likeliest token, or a draw
    sure: np.ndarray  # [n] the token's probability
    margin: np.ndarray  # [n] probability of the likeliest token less that of the next
    gap: np.ndarray  # [n] the same of their logits
    entropy: np.ndarray  # [n] nats
    best: tuple[int, ...]  # [n] the likeliest token
    logits: Tensor  # [n, V]

    def __len__(self) -> int:
        return len(self.cells)

    def law(self) -> Tensor:
        """[n, V] probabilities."""
        return self.logits.softmax(-1, dtype=torch.promote_types(self.logits.dtype, torch.float32))

    def part(self, which: Sequence[int]) -> Seen:
        """Some of the cells, by index."""
        index = list(which)
        return Seen(
            self.row, tuple(self.cells[i] for i in index), tuple(self.token[i] for i in index),
            self.sure[index], self.margin[index], self.gap[index], self.entropy[index],
            tuple(self.best[i] for i in index), self.logits[index],
        )  # fmt: skip


def _look(answer: Answer, chance: Chance, draw: bool) -> list[Seen]:
    """For each live row what is said of its asked cells."""
    kind = torch.promote_types(answer.logits.dtype, torch.float32)
    logs = answer.logits.log_softmax(-1, dtype=kind)
    laws = logs.exp()
    entropy = torch.special.entr(laws).sum(-1).numpy(force=True)
    two = logs.topk(2, -1).values.numpy(force=True) if logs.shape[-1] > 1 else logs.numpy(force=True)
    best = likeliest(answer.logits).tolist()
    seen = []
    for lines in answer.rows:
        mine = slice(lines.start, lines.start + lines.count)
        cells, token = lines.cells or (), best[mine]
        if draw:
            turn = lines.count  # a cell asked again stands among fewer holes, so it is drawn afresh
            laid = answer.logits[mine]
            token = [chance.pick(laid[i], lines.row, cell, turn) for i, cell in enumerate(cells)]
        sure = laws[mine][range(len(token)), token].numpy(force=True) if token else np.zeros(0)
        first, second = two[mine, 0], two[mine, -1]
        with np.errstate(invalid="ignore"):  # a law that leaves one token: the gap is infinite
            gap = np.nan_to_num(first - second, nan=np.inf, posinf=np.inf)
        sureness = (sure, np.exp(first) - np.exp(second), gap, entropy[mine])
        seen.append(Seen(lines.row, cells, tuple(token), *sureness, tuple(best[mine]), answer.logits[mine]))
    return seen


@cache
def look(greedy: bool) -> Reader:
    """What policies see: the likeliest tokens, or draws; and how sure they are."""
    return together(partial(_look, draw=False)) if greedy else partial(_look, draw=True)


def surest(score: Iterable[float]) -> list[int]:
    """Indices, the highest score first; the leftmost among equals."""
    scores = list(score)
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


Policy = Callable[[Seen], Sequence[int]]  # indices of the cells that become text
Scored = Callable[[Seen], "np.ndarray"]  # [n] the higher the sooner


def at_least_one(seen: Seen, picked: Iterable[int], score: Sequence[float] | None = None) -> list[int]:
    """The picked cells in order; the surest of all if none is."""
    some = sorted(set(picked))
    return some or surest(seen.sure if score is None else score)[:1]


def fill(seen: Sequence[Seen], picks: Sequence[Sequence[int]], keep: Cells = EXACT) -> Commit:
    """Make the picked cells of each live row true."""
    token = [[s.token[i] for i in pick] for s, pick in zip(seen, picks, strict=True)]
    at = [[s.cells[i] for i in pick] for s, pick in zip(seen, picks, strict=True)]
    return Commit(token, at=at, keep=keep)


def unmask(canvas: Canvas, read: Reader, policy: Policy) -> Flow:
    """Block after block: ask for the holes, fill those that the policy picks, at least one."""
    for block in canvas.blocks():
        while any(holes := canvas.holes(block)):
            seen: Sequence[Seen] = yield Ask(read, at=holes)
            yield fill(seen, [at_least_one(s, policy(s)) if s.cells else [] for s in seen])


def confidence(order: str) -> Scored:
    """What cells are ranked by: confidence, margin, or negative entropy."""
    ranks: dict[str, Any] = {
        "confidence": lambda s: s.sure,
        "margin": lambda s: s.margin,
        "entropy": lambda s: -s.entropy,
    }
    return ranks[order]

"""Tie or bug: where an exact method's text leaves the plain loop's, can rounding be the reason?

A method that claims exactness computes the same laws as the plain loop, but in runs of many cells, and
floating point sums taken in another order differ in their last digits. Where two tokens are almost equally
likely that decides which of them is written. So the first divergence of two texts is measured:

- margin: how far apart the two tokens' logits are, in one-cell runs along the text both share. When
  sampling, how far the losing token's logit would have to rise for the same draw to choose it.
- noise: the largest change of the difference of the two likeliest tokens' logits between one-cell runs and
  runs of 3, 8 and 16 cells, guesses in a chain and in a tree whose wrong branches come first, over 64
  positions of each of four passages. Caches are made by the same kind of run, so what adds up along a text
  is in the number. Measured once for a net, when the first divergence asks for it.

A tie has margin <= FACTOR * noise; anything else is a bug. The factor is there because a method passes many
more positions than the sample, and the largest change of a sample is below the largest of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Net, Tree, chain

FACTOR = 2.0
WIDTHS = (3, 8, 16)  # cells of the many-cell runs
POSITIONS = 64  # measured in each passage
PREFIX = 24  # tokens of a passage that both kinds of runs begin with, computed as a prompt is


@dataclass(frozen=True)
class Divergence:
    """The first place where a method's text is not the plain loop's. Token None: that text had ended."""

    position: int  # generated tokens before it
    plain: int | None
    other: int | None
    margin: float | None  # None: one text ended early, which no rounding explains
    noise: float | None

    @property
    def tie(self) -> bool:
        return self.margin is not None and self.noise is not None and self.margin <= FACTOR * self.noise

    @property
    def verdict(self) -> str:
        return "tie" if self.tie else "bug"


def first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    """The first index where two texts differ, the end of the shorter one included; None if they are equal.

    >>> first_difference([1, 2, 3], [1, 5])
    1
    """
    if list(a) == list(b):
        return None
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def forget(nets: Iterable[Net]) -> None:
    """Make nets drop what they cached, where they can, so that no run profits from another."""
    for net in nets:
        if drop := getattr(net, "forget", None):
            drop()


def walk(net: Net, text: Sequence[int], start: int, width: int, branches: bool = False) -> Tensor:
    """[len(text) - start + 1, V] what the net says after text[:start], text[:start + 1], ... and all of it.

    The text is fed like a method feeds it: text[:start] as a prompt, then `width` cells in each run, of which
    the first is text and the others are guesses that all turn out true. With `branches` each of them comes
    after a wrong sibling.
    """
    forget([net])
    canvas = Canvas(text[:start], len(text) - start + 1)
    lines: list[Tensor] = []
    while True:
        done = len(canvas.rows[0])
        path = text[done : done + width - 1]
        guess = _with_siblings(path, net.vocab) if branches else chain(path)
        answer = asked(net, Ask(_logits, guess=(guess,)), canvas)
        lines.append(_logits(answer, Chance())[:: 2 if branches else 1])
        if done + len(path) == len(text):
            forget([net])
            return torch.cat(lines)
        step = Commit([text[done : done + len(path) + 1]])
        canvas.write(step)
        net.follow(canvas, step)


def asked(net: Net, ask: Ask, canvas: Canvas) -> Answer:
    """What the net says, asked as often as it puts the ask off. Raises what it answers instead."""
    while (answer := net([(ask, canvas)])[0]) is None:
        pass
    if isinstance(answer, Exception):
        raise answer
    return answer


def _with_siblings(path: Sequence[int], vocab: int) -> Tree:
    """A chain in which every token has an elder sibling that is not it: nodes 1, 3, 5, ... are the path."""
    token = [t for true in path for t in ((true + 1) % vocab, true)]
    parent = [p for depth in range(len(path)) for p in (2 * depth - 1, 2 * depth - 1)]
    return Tree(tuple(token), tuple(parent))


def _logits(answer: Answer, chance: Chance) -> Tensor:
    return answer.logits.detach().float().cpu()


@dataclass
class Judge:
    """Says tie or bug for one net. `passages`: token lists the noise is measured on, 50 tokens or more each.

    With a temperature above 0 the texts are draws with `seed`.
    """

    net: Net
    passages: Sequence[Sequence[int]]
    temperature: float = 0.0
    seed: int = 0

    @cached_property
    def noise(self) -> float:
        """How much rounding moves the difference of two top logits of this net."""
        return max((self._change(text) for text in self.passages), default=0.0)

    def _change(self, passage: Sequence[int]) -> float:
        text = list(passage[: PREFIX + POSITIONS])
        start = max(1, min(PREFIX, len(text) // 2))
        one = walk(self.net, text, start, 1)
        top = one.topk(2).indices  # [positions, 2]
        gap = one.gather(1, top).diff()
        changes = [
            (walk(self.net, text, start, width, branches).gather(1, top).diff() - gap).abs().max()
            for width in WIDTHS
            for branches in (False, True)
        ]
        return float(max(changes))

    def compare(self, prompt: Sequence[int], plain: Sequence[int], other: Sequence[int]) -> Divergence | None:
        """The first divergence of two generated texts, measured; None if there is none."""
        place = first_difference(plain, other)
        if place is None:
            return None
        if place >= min(len(plain), len(other)):
            ends = [text[place] if place < len(text) else None for text in (plain, other)]
            return Divergence(place, ends[0], ends[1], None, None)
        margin = self.margin([*prompt, *plain[:place]], len(prompt), plain[place], other[place])
        return Divergence(place, plain[place], other[place], margin, self.noise)

    def margin(self, text: Sequence[int], start: int, a: int, b: int) -> float:
        """How far apart tokens a and b are after the text, whose first `start` tokens are the prompt."""
        logits = walk(self.net, text, start, 1)[-1]
        if self.temperature == 0:
            return float((logits[a] - logits[b]).abs())
        return lead(logits / self.temperature, len(text), a, b, Chance(self.seed)) * self.temperature


def lead(logits: Tensor, position: int, a: int, b: int, chance: Any) -> float:
    """How much the logit of the one of two tokens that loses the draw must rise to win it, by bisection.

    `logits` [V] are those the draw is made from; `chance` draws as `core.chance.Chance` does."""
    duel = torch.full_like(logits, -torch.inf)
    duel[[a, b]] = logits[[a, b]]
    loser = b if chance.pick(duel, 0, position) == a else a
    low, high = 0.0, 128.0
    for _ in range(32):
        rise = (low + high) / 2
        raised = duel.clone()
        raised[loser] += rise
        low, high = (low, rise) if chance.pick(raised, 0, position) == loser else (rise, high)
    return high

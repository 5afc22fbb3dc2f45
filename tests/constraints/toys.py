"""Constraints on toy vocabularies, where a token is a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anyorder.constraints.follow import Follow
from anyorder.constraints.states import ByFunction, State, Vocabulary
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer
from anyorder.shapers import chained


def vocabulary(size: int = 13, eos: Sequence[int] = ()) -> Vocabulary:
    return Vocabulary(
        size, tuple(eos), None, lambda text: [int(t) for t in text.split()], lambda t: " ".join(map(str, t))
    )


def follow(
    start: State | Callable[[list[int]], Any], words: Vocabulary, budget: int, jump: int = 4
) -> Follow:
    state = ByFunction(start, words) if callable(start) else start
    return Follow(state, words, budget, jump, "constraint")


def shape(held: Follow) -> Callable[[Answer, Canvas], Answer]:
    return chained([held])


def after_one(tokens: list[int]) -> list[int] | None:
    """After 1 must come 2 and 0; otherwise anything."""
    if tokens[-1:] == [1]:
        return [2]
    return [0] if tokens[-2:] == [1, 2] else None

"""Small drafters and laws that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, as_it_is, decode
from anyorder.core.types import Method, Net, Shape
from anyorder.drafter import Drafter
from anyorder.methods.speculative.speculative import with_drafter
from anyorder.testing.drafts import P, Q, drawn, fixed, mixed_law, same_law

__all__ = [
    "SAMPLING",
    "P",
    "Q",
    "drawn",
    "first_commit",
    "fixed",
    "judged",
    "mixed_law",
    "same_law",
    "text_of",
]
SAMPLING = Setting(greedy=False, vocab=3)


def text_of(
    method: Method, nets: dict[str, Net], budget: int, shape: Shape = as_it_is, eos: Sequence[int] = ()
) -> Callable[[Any], tuple[int, ...]]:
    """chance -> the text that the method writes after the prompt [0]."""

    def run(chance: Any) -> tuple[int, ...]:
        canvas = Canvas([0], budget, eos=eos)
        for _ in decode([Request(canvas, method, nets, shape, chance)]):
            pass
        return tuple(canvas.generated())

    return run


def first_commit(method: Method, nets: dict[str, Net], budget: int = 1) -> Callable[[Any], tuple[int, ...]]:
    """chance -> what the first commit wanted to write: accepted guesses and one token more."""

    def run(chance: Any) -> tuple[int, ...]:
        request = Request(Canvas([0], budget), method, nets, chance=chance)
        for event in decode([request]):
            request.canvas.close()
            path = tuple(event.commit.token[0])
        return path

    return run


def judged(drafter: Drafter, verify: str) -> Method:
    return with_drafter(drafter, SAMPLING, verify)

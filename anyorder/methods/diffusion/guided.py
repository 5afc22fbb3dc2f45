"""Classifier-free guidance (arXiv:2207.12598, for masked diffusion as in LLaDA, arXiv:2502.09992).

Whatever a method asks is asked twice in one run: of the canvas, and of the canvas with the whole prompt
replaced by M. The method `then` reads

    z = z_un + (w + 1) (z_cond - z_un)

which leans further towards the prompt than the net does; at w = 0 nothing is asked twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import EXACT, Ask, Commit, Method
from anyorder.law import Step, Turned, instead, turned, whole

CARD = Card(
    name="guided",
    family="diffusion",
    paper="arXiv:2207.12598",
    exact=False,
    summary="any diffusion method, reading what the prompt adds to what the net would say without it",
    cost="up to 1 run per step of the method that is guided, over twice its cells",
    canvas="cells",
    options=(
        Option("w", 1.0, "guidance; 0: none, and nothing is asked twice", low=0, high=100),
        Option("then", "static", "method that is guided: name/option=value"),
    ),
    departures=(
        "a token that shaping forbids with the prompt stays forbidden; one forbidden only without it is as "
        "likely as with the prompt (ours)",
        "states that the guided method would use again although stale are computed afresh (ours)",
    ),
)


def combined(cond: Tensor, un: Tensor, w: float) -> Tensor:
    """[M, V] guided logits."""
    both = torch.isfinite(cond) & torch.isfinite(un)
    return torch.where(both, un + (w + 1) * (cond - un), cond)


def guided(setting: Setting, w: float, then: str) -> Method:
    inner: Method = setting.method(then)
    if w == 0:
        return inner

    def asked(ask: Ask, canvas: Canvas) -> tuple[Ask, ...]:
        if ask.net != "target":
            return (ask,)
        assert canvas.mask is not None, "a canvas of cells has a mask"
        hidden = dict.fromkeys(range(canvas.prompt), canvas.mask)
        fill = ask.fill or ({},) * len(canvas.live)
        first = replace(ask, read=whole, drift=-1.0)
        return first, replace(first, fill=tuple({**hidden, **own} for own in fill))

    def told(ask: Ask, replies: Sequence[Any], canvas: Canvas) -> Any:
        if ask.net != "target":
            return replies[0]
        (cond, chance), (un, _) = replies
        return ask.read(replace(cond, logits=combined(cond.logits, un.logits, w)), chance)

    return fresh(instead(inner, asked, told))


def fresh(inner: Method) -> Method:
    """The method, where no commit keeps stale states: they would be those of one reading only."""

    def turn(step: Step) -> Turned:
        return (yield replace(step, keep=EXACT) if isinstance(step, Commit) else step)

    return turned(inner, lambda canvas: turn)

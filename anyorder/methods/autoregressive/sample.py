"""Sampling: one draw a step from the target's law, after temperature, top-k and the like shaped it."""

from anyorder.card import Card, Setting
from anyorder.core.readers import argmax
from anyorder.core.readers import sample as draw
from anyorder.core.types import Method
from anyorder.methods.autoregressive.greedy import autoregressive

CARD = Card(
    name="sample",
    family="autoregressive",
    paper="textbook",
    exact=True,
    summary="a draw from the target's law, one token at a time",
    cost="1 target run per token, 1 cell each",
    temperature=1.0,
)


def sample(setting: Setting) -> Method:
    return lambda canvas: autoregressive(canvas, argmax if setting.greedy else draw)

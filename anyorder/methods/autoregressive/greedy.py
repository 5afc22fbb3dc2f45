"""Greedy decoding: the likeliest token, one at a time. The plain loop every speed-up is measured against."""

from anyorder.card import Card, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import argmax
from anyorder.core.types import Ask, Commit, Flow, Method, Reader

CARD = Card(
    name="greedy",
    family="autoregressive",
    paper="textbook",
    exact=True,
    summary="the likeliest token, one at a time",
    cost="1 target run per token, 1 cell each",
)


def autoregressive(canvas: Canvas, read: Reader) -> Flow:
    while True:
        token = yield Ask(read)
        yield Commit([[t] for t in token])


def greedy(setting: Setting) -> Method:
    return lambda canvas: autoregressive(canvas, argmax)

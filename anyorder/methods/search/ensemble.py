"""Ensemble (textbook): the mean of two nets' laws, or of their logits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Method
from anyorder.law import under, writer

CARD = Card(
    name="ensemble",
    family="search",
    paper="textbook",
    exact=False,
    summary="writes by the mean of two nets' laws, or of their logits",
    cost="up to 1 target run per token, and as many of the second net",
    nets=("target", "second"),
    options=(
        Option("second", "", "the other net: a model of the same vocabulary, or the target's first blocks, "
               "exit:4, exit:half", needed=True, local=True, within=("exit:",)),
        Option("weight", 0.5, "of the second net; 0: the target alone", low=0, high=1),
        Option("of", "laws", "what is averaged: laws, a mixture; logits, a product",
               choices=("laws", "logits")),
        Option("then", "", "method that writes under this law: name/option=value; empty: greedy, above "
               "temperature 0 sample"),
    ),
    departures=(
        "penalties, and above temperature 0 temperature and truncation, act on both laws before they are "
        "averaged",
        "where no token is possible for both, a mean of logits is the target's (ours)",
    ),
)  # fmt: skip


def mean(p: Tensor, q: Tensor, weight: float, of: str) -> Tensor:
    """Logits [M, V] of two nets' log-probabilities [M, V]."""
    if weight in (0, 1):
        return q if weight else p
    if of == "laws":
        return torch.logaddexp(p + math.log(1 - weight), q + math.log(weight))
    both = (1 - weight) * p + weight * q
    return torch.where(both.amax(-1, keepdim=True).isinf(), p, both)


def ensemble(setting: Setting, second: str, weight: float, of: str, then: str) -> Method:
    def rule(answers: Sequence[Answer], canvas: Canvas) -> Tensor:
        p, q = (answer.logits.to(answers[0].logits).log_softmax(-1) for answer in answers)
        return mean(p, q, weight, of)

    return under(writer(setting, then), rule, nets=("second",))

"""UADF (Chen et al. 2024, arXiv:2402.05457): a second net is heard as far as the first one is unsure.

The target's entropy U says how unsure it is; the second net's law is added with the weight sigmoid(U) - 1/2,
from 0 where the target is certain up to 1/2. In the paper the second net hears speech and the target corrects
its transcripts; here both read the same text.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Method
from anyorder.law import under, writer

CARD = Card(
    name="uadf",
    family="search",
    paper="arXiv:2402.05457",
    exact=False,
    summary="adds a second net's law the more, the less certain the target is",
    headline="fewer word errors than static and late fusion on several speech recognition sets",
    cost="up to 1 target run per token, and as many of the second net",
    nets=("target", "second"),
    options=(
        Option("second", "", "the other net: a model of the same vocabulary, or the target's first blocks, "
               "exit:4, exit:half", needed=True, local=True, within=("exit:",)),
        Option("tau1", 1.0, "temperature of the second net, from its calibration", low=0.01, high=100),
        Option("tau2", 1.0, "temperature of the target, from its calibration", low=0.01, high=100),
        Option("then", "", "method that writes under this law: name/option=value; empty: greedy, above "
               "temperature 0 sample"),
    ),
    departures=(
        "both nets read the same text, since both are language models here; the paper's second net reads "
        "speech and begins with no prompt",
        "the fused law is divided by 1 + w, so that it may be sampled from (ours)",
        "`calibrated`, beside the method, finds a temperature by bisection; the reference's search has the "
        "same root (ours)",
        "penalties, and above temperature 0 temperature and truncation, act on both laws before the fusion",
    ),
)  # fmt: skip

CLOSE = 1e-4  # of mean confidence and accuracy
WIDEST = 60  # doublings of a temperature, up or down


def fused(llm: Tensor, other: Tensor) -> Tensor:
    """Log-probabilities [M, V] of (p + w q) / (1 + w), for the target's p and the second net's q, given as
    log-probabilities too."""
    law = llm.exp()
    unsure = -torch.special.xlogy(law, law).sum(-1, keepdim=True)  # U, nats
    w = unsure.clamp(min=0).sigmoid() - 0.5
    return torch.logaddexp(llm, w.log() + other) - w.log1p()


def calibrated(logits: Tensor, token: Tensor) -> float:
    """The temperature at which a net is as sure as it is right: the mean of its largest probabilities, over
    logits [N, V], is the share of lines whose likeliest token is `token` [N]. Raises ValueError."""
    right = float((logits.argmax(-1) == token).double().mean())

    def confidence(log_tau: float) -> float:
        return float((logits.double() / math.exp(log_tau)).softmax(-1).amax(-1).mean())

    low, high = -WIDEST * math.log(2), WIDEST * math.log(2)
    if not confidence(high) - CLOSE <= right <= confidence(low) + CLOSE or right in (0, 1):
        raise ValueError(
            f"accuracy is {right:g}; allowed is more than chance and less than 1; calibrate on more text"
        )
    while high - low > 1e-12:  # confidence falls with the temperature
        middle = (low + high) / 2
        low, high = (middle, high) if confidence(middle) > right else (low, middle)
    return math.exp((low + high) / 2)


def uadf(setting: Setting, second: str, tau1: float, tau2: float, then: str) -> Method:
    def rule(answers: Sequence[Answer], canvas: Canvas) -> Tensor:
        llm, other = (answer.logits for answer in answers)
        return fused((llm / tau2).log_softmax(-1), (other.to(llm) / tau1).log_softmax(-1))

    return under(writer(setting, then), rule, nets=("second",))

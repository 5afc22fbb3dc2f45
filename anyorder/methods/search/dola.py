"""DoLa (Chuang et al. 2023, arXiv:2309.03883): what the last block knows that an earlier one did not.

Each of some earlier layers says through the same norm and head what it would write. The one whose law is
farthest from the last one's, by Jensen-Shannon divergence, is taken as what was known before, and the logits
are the logarithm of the ratio of both laws, among tokens that are likely enough in the end.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Method
from anyorder.errors import UserError
from anyorder.law import under, writer

CARD = Card(
    name="dola",
    family="search",
    paper="arXiv:2309.03883",
    exact=False,
    summary="contrasts the last layer's law with that of an earlier layer",
    headline="12 to 17 points on TruthfulQA for LLaMA 7B to 65B",
    cost="up to 1 target run per token, and the output head once for each candidate layer",
    options=(
        Option("layers", "low", "candidates for the earlier layer: low or high half, every second one, or "
               "numbers by comma; 0: embeddings"),
        Option("alpha", 0.1, "only tokens at least this share as likely as the likeliest", low=0, high=1),
        Option("then", "", "method that writes under this law: name/option=value; empty: greedy, above "
               "temperature 0 sample"),
    ),
    departures=(
        "low begins with layer 2: where head and embeddings share weights layer 0 only says its own token, "
        "as in transformers; name 0 to have it",
        "every line chooses its layer, by the divergence as the paper defines it; the reference means over a "
        "batch, and its code has the arguments of both divergences exchanged",
        "penalties, and above temperature 0 temperature and truncation, act on the last layer's law before "
        "the contrast; the paper's repetition penalty of 1.2 acts after it and is not on by default",
    ),
)  # fmt: skip

SHALLOW = 40  # blocks; of deeper models the 20 first or last layers are candidates
UNKNOWN = 2  # blocks of a net that does not tell


def premature(layers: str, blocks: int) -> tuple[int, ...]:
    """The candidate layers of a model. Raises ValueError."""
    half = blocks // 2 if blocks <= SHALLOW else 20
    if layers == "low":
        first = 2 if blocks > 2 else blocks - 1
        return tuple(range(first, half, 2)) or (first,)
    if layers == "high":
        return tuple(range(half if blocks <= SHALLOW else blocks - 20, blocks, 2))
    try:
        chosen = tuple(sorted({int(layer) for layer in layers.split(",")}))
    except ValueError:
        chosen = ()
    if not chosen or chosen[0] < 0 or chosen[-1] >= blocks:
        raise ValueError(
            f"option layers is {layers!r}; allowed is low, high, or layers from 0 to {blocks - 1} by comma; "
            "choose some of these"
        )
    return chosen


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of laws given as log-probabilities [..., V], in nats."""
    both = (torch.logaddexp(p, q) - math.log(2)).clamp(min=-1e4)  # finite where both are impossible
    kl = [torch.where(x > -math.inf, x.exp() * (x - both), 0.0).sum(-1) for x in (p, q)]
    return (kl[0] + kl[1]) / 2


def contrast(mature: Tensor, early: Tensor, alpha: float) -> Tensor:
    """Logits [M, V] of log-probabilities [M, V] at the end and [J, M, V] of the candidate layers."""
    pick = divergence(mature[None], early).argmax(0)  # [M] equation 4
    before = early[pick, torch.arange(len(mature), device=mature.device)]
    least = mature.amax(-1, keepdim=True) + (math.log(alpha) if alpha else -math.inf)  # V_head, equation 3
    return (mature - before).masked_fill(mature < least, -math.inf)  # equation 5


def dola(setting: Setting, layers: str, alpha: float, then: str) -> Method:
    chosen = premature(layers, setting.layers or UNKNOWN)

    def rule(answers: Sequence[Answer], canvas: Canvas) -> Tensor:
        (answer,) = answers
        if answer.head is None:
            raise UserError("dola reads inner layers through the output head, and this model's norm before "
                            "it has an unknown name; choose another method")  # fmt: skip
        mature = answer.logits.log_softmax(-1)
        said = answer.head(torch.cat([answer.layers[layer] for layer in chosen]))  # [J M, V]
        early = said.to(mature).view(len(chosen), *mature.shape).log_softmax(-1)
        return contrast(mature, early, alpha)

    return under(writer(setting, then), rule, layers=chosen)

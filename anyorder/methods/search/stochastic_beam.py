"""Stochastic beam search (Kool et al. 2019, arXiv:1903.06059): k different texts drawn without replacement.

Give every text its log-probability and Gumbel noise; the k largest are a draw of k texts without replacement.
The tree of all texts need not be written out. The largest perturbed value below a prefix is distributed like
that of one text with the prefix's own probability phi, so a beam search that keeps the k largest, drawn from
the top down, finds them (algorithm 1). The children's noise is drawn on condition that their largest is their
parent's (section 4.1 and appendix B.3).

The best text by score alone is a plain draw from the model; with width 1 it is `sample`'s, of the same seed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import ends
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Reader

CARD = Card(
    name="stochastic_beam",
    family="search",
    paper="arXiv:1903.06059",
    exact=False,
    summary="several different texts, drawn without replacement from the target's law of whole texts",
    headline="more diverse translations than sampling or beam search at equal quality; estimates of BLEU and "
    "entropy of lower variance",
    cost="1 target run per step, 1 cell per live hypothesis",
    options=(Option("width", 4, "texts", low=1, high=256),),
    temperature=1.0,
    departures=(
        "the root's noise is drawn, not 0, so that scores are the Gumbels that the estimators of section 4.2 "
        "compare with a threshold",
        "at temperature 0 there is no noise: beam search by log-probability, where texts that ended keep "
        "their places (ours)",
    ),
)


class Row(NamedTuple):
    """A prefix: what it adds to which row, its log-probability and the largest perturbed value below it."""

    token: tuple[int, ...]
    parent: int
    phi: float
    largest: float | None  # None: not drawn yet, which holds for the root only


def conditioned(perturbed: Tensor, largest: float | None) -> Tensor:
    """Gumbels [V] moved so that their maximum is `largest`, their truncated law kept (appendix B.3)."""
    if largest is None:
        return perturbed
    below = torch.log1p(-torch.exp(perturbed - perturbed.max()))  # -inf at the maximum
    v = largest - perturbed + below
    return largest - v.clamp(min=0) - torch.log1p(torch.exp(-v.abs()))


def children(rows: list[Row], count: int, noisy: bool) -> Reader:
    """The `count` best extensions of each live row."""

    def read(answer: Answer, chance: Chance) -> list[Row]:
        found: list[Row] = []
        for lines, line in zip(answer.rows, ends(answer).double().log_softmax(-1), strict=True):
            row = rows[lines.row]
            phi = value = row.phi + line  # [V]
            if noisy:  # the noise that `Chance.pick` would have used: a race is won by the largest Gumbel
                noise = chance._stream(lines.row, lines.position(0), 0).standard_exponential(len(phi))
                value = conditioned(phi - torch.from_numpy(noise).log().to(phi), row.largest)
            best, token = value.topk(min(count, len(value)))
            some = zip(token.tolist(), phi[token].tolist(), best.tolist(), strict=True)
            found += [Row((t,), lines.row, p, g) for t, p, g in some if g > float("-inf")]
        return found

    return read


def search(canvas: Canvas, width: int, noisy: bool) -> Flow:
    rows = [Row((), 0, 0.0, None)]
    while True:
        found = yield Ask(children(rows, width, noisy))
        leaves = [row._replace(token=(), parent=h) for h, row in enumerate(rows) if canvas.ended[h]]
        rows = sorted(leaves + found, key=lambda row: -row.largest)[:width]
        yield Commit(
            [row.token for row in rows],
            parents=tuple(row.parent for row in rows),
            score=tuple(row.largest or 0.0 for row in rows),
        )


def stochastic_beam(setting: Setting, width: int) -> Method:
    return lambda canvas: search(canvas, width, not setting.greedy)

"""How likely a model finds a text that is there already: methods that write it and listen.

A model that writes from left to right is told the text in parts, as chains of guesses; each of its runs
gives the laws of one part, and of no cell more than that.

A diffusion model knows no such product of laws. Its likelihood is bounded by an expectation (LLaDA,
arXiv:2502.09992, equation 6): hide l of the L cells, l uniform from 1 to L, and take L/l times the sum of
log p(hidden cell | the others). It is estimated by draws; draw i of n takes its l from the i-th n-th of the
range, which leaves the mean and narrows the spread. Where attention is by blocks each block is estimated
behind the true text of those before it, and the estimates add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch

from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import likeliest
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Reader, chain

PART = 64  # tokens told at once: bounds the logits of a run, [texts * PART, V]


@dataclass
class Said:
    """What was heard of a text."""

    logp: float = 0.0
    greedy: bool = True  # the model would have written it


def told(tokens: Sequence[int]) -> Reader:
    """The sum of these tokens' log-probabilities, one for each line, and whether all are the likeliest."""

    def read(answer: Answer, chance: Chance) -> tuple[float, bool]:
        logits = answer.logits  # [len(tokens), V]
        token = torch.as_tensor(tokens, device=logits.device)
        logp = logits.gather(1, token[:, None])[:, 0].double() - logits.double().logsumexp(-1)
        return float(logp.sum()), bool((likeliest(logits) == token).all())

    return read


def forced(tokens: Sequence[int], width: int, said: Said) -> Method:
    """Writes the tokens, so many at once. log p(tokens | text) = Σ log p(token | text before it)."""

    def run(canvas: Canvas) -> Flow:
        for start in range(0, len(tokens), width):
            part = tokens[start : start + width]
            logp, greedy = yield Ask(told(part), guess=(chain(part[:-1]),))
            said.logp, said.greedy = said.logp + logp, said.greedy and greedy
            yield Commit([part])

    return run


def surest(answer: Answer, chance: Chance) -> tuple[int, int]:
    """The cell whose likeliest token is the most probable, and that token."""
    best, token = answer.logits.log_softmax(-1).max(-1)  # [M]
    line, cells = int(best.argmax()), answer.rows[0].cells
    assert cells is not None, "cells were asked for"
    return cells[line], int(token[line])


def levels(cells: int, samples: int, draw: Random) -> list[int]:
    """How many of the cells each draw hides; each is uniform from 1 to `cells`, together they spread evenly.
    Of a single cell one draw tells all.

    >>> sorted(levels(4, 8, Random(0)))
    [1, 1, 2, 2, 3, 3, 4, 4]
    """
    first, count = draw.random(), samples if cells > 1 else 1
    return [1 + int((first + i) * cells / count) % cells for i in range(count)]


def estimated(tokens: Sequence[int], samples: int, width: int, draw: Random, said: Said) -> Method:
    """Fills the canvas from its beginning with the tokens, block by block, after `samples` draws about each
    block; `width` of them share a run. `said.greedy`: filling the surest of these cells in each run gives
    the tokens. Cells behind them stay holes."""

    def run(canvas: Canvas) -> Flow:
        text = dict(enumerate(tokens, canvas.prompt))
        for cells in canvas.blocks():
            block = [i for i in cells if i in text]
            if not block:
                return
            draws = [sorted(draw.sample(block, n)) for n in levels(len(block), samples, draw)]
            for start in range(0, len(draws), width):
                some = draws[start : start + width]
                replies = yield tuple(_asked(hidden, block, text) for hidden in some)
                weights = [len(block) / len(hidden) / len(draws) for hidden in some]
                said.logp += sum(w * logp for w, (logp, _) in zip(weights, replies, strict=True))
                yield Commit([[]], at=[[]])  # nothing: what was assumed is given back
            while block and said.greedy:
                cell, token = yield Ask(surest, at=(block,))
                said.greedy = token == text[cell]
                if said.greedy:
                    block = [i for i in block if i != cell]
                    yield Commit([[token]], at=[[cell]])
            yield Commit([[text[i] for i in block]], at=[block])

    return run


def _asked(cells: Sequence[int], block: Sequence[int], text: Mapping[int, int]) -> Ask:
    """About hidden cells, the others of the block being what they are."""
    seen = {i: text[i] for i in block if i not in cells}
    return Ask(told([text[i] for i in cells]), at=(cells,), fill=(seen,))

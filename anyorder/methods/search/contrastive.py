"""Contrastive search (Su et al. 2022, arXiv:2202.06417): likely, and unlike what is there already.

Of the k likeliest tokens the one with the best (1 - alpha) p(v) - alpha max cos(h_v, h_j) is next: h_v is the
state that the model has having read the candidate, h_j its states at the tokens before. One run reads all k
candidates as guesses; the line of the one that is chosen already says what may follow it.
"""

from collections.abc import Generator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import top
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Reader, Tree
from anyorder.errors import UserError

CARD = Card(
    name="contrastive",
    family="search",
    paper="arXiv:2202.06417",
    exact=False,
    summary="of the likeliest tokens the one whose state is least like those of the text",
    cost="up to 2 target runs per token, up to k cells; one for each token, and at first one that reads the "
    "prompt, or a few if it is long",
    options=(
        Option("k", 4, "candidates: the likeliest tokens", low=1, high=256),
        Option("alpha", 0.6, "weight of likeness against probability; 0: greedy", low=0, high=1),
    ),
    departures=(
        "p is the law after penalties, and above temperature 0 after temperature and truncation; the choice "
        "is deterministic at any temperature, as in the paper",
        "the likeness of states is taken after the last norm, as in transformers; of other models than the "
        "paper's the states are less spread, which calls for another alpha",
        "the states of the prompt are read again after it was cached: the net keeps keys and values only",
    ),
)  # fmt: skip

PIECE = 256  # cells of the prompt whose laws are made at once


class Line(NamedTuple):
    """What a net says behind a text."""

    token: list[int]  # the k likeliest next tokens, best first; fewer if others were forbidden
    p: list[float]
    state: Tensor  # [D] of the text's last token, of length 1


@cache
def lines(k: int, last: bool = False) -> Reader:
    """For each live row its lines; `last`: of the last line the tokens, of all of them the states [n, D]."""

    def read(answer: Answer, chance: Chance) -> list[Any]:
        if answer.hidden is None:
            raise UserError("contrastive compares states and the net tells none; choose another method")
        states = torch.nn.functional.normalize(answer.hidden.clone(), dim=-1)  # outside the run's own memory
        ends = [x.start + x.count - 1 for x in answer.rows]
        logits = answer.logits[ends] if last else answer.logits
        best = top(logits, min(k, logits.shape[1]))
        logp = logits.gather(1, best) - logits.logsumexp(-1, keepdim=True)
        said = [
            Line([t for t, p in zip(*one) if p > 0], [p for p in one[1] if p > 0], state)
            for *one, state in zip(best.tolist(), logp.exp().tolist(), states[ends] if last else states)
        ]
        if last:
            return [(line, states[x.start : x.start + x.count]) for line, x in zip(said, answer.rows)]
        return [said[x.start + 1 : x.start + x.count] for x in answer.rows]

    return read


def known(canvas: Canvas, k: int) -> Generator[Ask, Any, dict[int, tuple[Line, Tensor]]]:
    """Of each live row what is said behind its text, and the states of the text, [n, D] and room for more."""
    live = canvas.live
    length = len(canvas.rows[live[0]])  # all alike: every step writes one token to each
    pieces: list[list[tuple[Line, Tensor]]] = []
    for first in range(1, length + 1, PIECE):
        cells = range(first, min(first + PIECE, length + 1))
        pieces.append((yield Ask(lines(k, last=True), at=[cells] * len(live))))
    room = canvas.prompt + canvas.budget - length
    out = {}
    for h, parts in zip(live, zip(*pieces, strict=True), strict=True):
        states = torch.cat([states for _, states in parts])
        out[h] = parts[-1][0], torch.cat([states, states.new_zeros(room, states.shape[1])])
    return out


def chosen(line: Line, after: list[Line], states: Tensor, alpha: float) -> int:
    """Which of the candidates is next (equation 5)."""
    like = torch.stack([one.state for one in after]) @ states.T  # [k, n]
    score = (1 - alpha) * torch.tensor(line.p).to(like) - alpha * like.amax(-1)
    return int(score.argmax())


def search(canvas: Canvas, k: int, alpha: float) -> Flow:
    at = yield from known(canvas, k)
    while True:
        live = canvas.live
        trees = tuple(Tree(tuple(at[h][0].token), (-1,) * len(at[h][0].token)) for h in live)
        said = yield Ask(lines(k), guess=trees, skip=1)
        written = []
        for h, after in zip(live, said, strict=True):
            (line, states), length = at[h], len(canvas.rows[h])
            best = chosen(line, after, states[:length], alpha)
            states[length] = after[best].state
            at[h] = after[best], states
            written.append([line.token[best]])
        yield Commit(written)


def contrastive(setting: Setting, k: int, alpha: float) -> Method:
    return lambda canvas: search(canvas, k, alpha)

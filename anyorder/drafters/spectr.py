"""SpecTr (Sun et al. 2023, arXiv:2310.15141): several sequences drafted independently, any of them may hold.

The drafter's net draws `sequences` continuations of `length` tokens, side by side, one run of it for each
depth. They hang from the end of the text as separate branches, equal ones too: every copy is a trial of its
own for the verifier `k_seq`, and the copies that agree with what was accepted are judged on.
"""

from collections.abc import Generator
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Reader, Tree
from anyorder.drafter import Drafter, Trees
from anyorder.drafters.draft_model import chained_drafts

CARD = Card(
    name="spectr",
    family="speculative",
    paper="arXiv:2310.15141",
    exact=True,
    kind="iid",
    summary="several sequences drawn independently from a net, judged by k_seq",
    headline="2.13x over plain decoding, 1.37x over one draft (PaLM-2)",
    cost="1 target run per commit, up to 1 + sequences * length cells; `length` runs of the drafter's net",
    options=(
        Option("drafter", "early_exit", "whose net drafts: early_exit, draft_model, ... with its options"),
        Option("sequences", 4, "sequences drawn, K", low=1, high=64),
        Option("length", 4, "tokens of each, L", low=1, high=64),
    ),
    departures=(
        "at temperature 0 all sequences are one, so one chain of the likeliest tokens is drafted (ours)",
        "equal beginnings are computed once for each sequence, by the drafter and by the target (ours)",
        "verify=auto means k_seq; length and draw of the inner drafter are not used",
    ),
)  # fmt: skip


def sheaf(tokens: list[int], sequences: int, q: Tensor | None = None) -> Tree:
    """Sequences that share nothing, given depth by depth.

    >>> sheaf([5, 5, 6, 7], sequences=2).parent
    (-1, -1, 0, 1)
    """
    parent = tuple(max(i - sequences, -1) for i in range(len(tokens)))
    return Tree(tuple(tokens), parent, q, (CARD.name,) * len(tokens))


def drawn(sequences: int) -> Reader:
    """For each live row: the next token of every sequence, and [K, V] the laws they were drawn from."""

    def read(answer: Answer, chance: Chance) -> list[tuple[list[int], Tensor]]:
        out = []
        for lines in answer.rows:
            last = lines.count - 1
            newest = range(last - sequences + 1, last + 1) if last else repeat(0, sequences)
            logits = [answer.logits[lines.start + line] for line in newest]
            place = lines.position(last)
            token = [chance.pick(x.float(), lines.row, place, turn) for turn, x in enumerate(logits)]
            out.append((token, torch.stack(logits).double().softmax(-1)))
        return out

    return read


def spectr(setting: Setting, drafter: str, sequences: int, length: int) -> Drafter:
    net = setting.make(drafter).net
    if not net:
        raise ValueError(
            f"drafter is {drafter!r}, which has no net to draw from; allowed are drafters of a net, like "
            "early_exit and draft_model; choose one of them"
        )
    if setting.greedy:
        return chained_drafts(net, length, False, CARD.name)
    read = drawn(sequences)

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        token: list[list[int]] = [[] for _ in canvas.live]
        laws: list[list[Tensor]] = [[] for _ in canvas.live]
        for depth in range(length):
            trees = tuple(sheaf(t, sequences) for t in token)
            skip = 1 + (depth - 1) * sequences if depth else 0  # only the newest guesses' lines
            found = yield Ask(read, guess=trees, net=net, skip=skip)
            for i, (new, law) in enumerate(found):
                token[i] += new
                laws[i].append(law)
        return tuple(sheaf(t, sequences, torch.cat(q)) for t, q in zip(token, laws, strict=True))

    return Drafter(draft, kind="iid", net=net, verify="k_seq")

"""Draft model (Leviathan et al. 2023, arXiv:2211.17192): a smaller net of the same tokenizer guesses a chain.

Each guess is a run of the draft net; only its newest line is wanted, so each run feeds it one cell.
"""

from collections.abc import Generator
from typing import Any

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, chain
from anyorder.drafter import Draft, Drafter, Trees

CARD = Card(
    name="draft_model",
    family="speculative",
    paper="arXiv:2211.17192",
    exact=True,
    kind="point",
    summary="a smaller net with the same tokenizer guesses a chain",
    headline="2x to 3x (T5-XXL, Chinchilla 70B)",
    cost="1 target run per commit, 1 + tokens cells; `tokens` runs of the draft net",
    nets=("target", "draft"),
    options=(
        Option("draft", "", "the draft net: a hub id, folder or GGUF file", needed=True, local=True),
        Option("tokens", 4, "tokens drafted", low=1, high=64),
        Option("draw", "likeliest", "how a token is drafted; sampled ones go with verify=residual",
               choices=("likeliest", "sampled")),
    ),
)  # fmt: skip


def last_line(drawn: bool):
    """For each live row: the next drafted token, and the law it was drawn from (None: the likeliest)."""

    def read(answer: Answer, chance: Chance) -> list[tuple[int, torch.Tensor | None]]:
        out: list[tuple[int, torch.Tensor | None]] = []
        for lines in answer.rows:
            line = lines.start + len(lines.tree)
            logits = answer.logits[line]
            if drawn:
                depth = len(lines.tree)  # as the turn: a place that is drafted again has noise of its own
                token = chance.pick(logits.float(), lines.row, lines.position(depth), depth)
                out.append((token, logits.double().softmax(-1)))
            else:
                out.append((int(logits.argmax()), None))
        return out

    return read


def chained_drafts(net: str, tokens: int, drawn: bool, source: str) -> Drafter:
    """Chains of `tokens` guesses from one net, a run for each token."""

    def draft(canvas: Canvas, most: int = tokens) -> Generator[Ask, Any, Trees]:
        path: list[list[int]] = [[] for _ in canvas.live]
        laws: list[list[torch.Tensor]] = [[] for _ in canvas.live]
        for depth in range(min(tokens, most)):
            trees = tuple(chain(p) for p in path)
            found = yield Ask(
                last_line(drawn), guess=trees, net=net, skip=depth
            )  # only the newest guess's line
            for i, (token, law) in enumerate(found):
                path[i].append(token)
                if law is not None:
                    laws[i].append(law)
        return tuple(
            chain(p, torch.stack(q) if q else None, source=source) for p, q in zip(path, laws, strict=True)
        )

    def upto(most: int) -> Draft:
        return lambda canvas: draft(canvas, most)

    return Drafter(draft, kind="chain" if drawn else "point", net=net, upto=upto)


def draft_model(setting: Setting, draft: str, tokens: int, draw: str) -> Drafter:
    return chained_drafts("draft", tokens, draw == "sampled" and not setting.greedy, CARD.name)

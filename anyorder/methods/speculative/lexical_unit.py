"""Lexical Unit Decoding (Sun et al. 2024, arXiv:2405.15208): a unit of tokens from one run, by confidence.

Behind the text stand k - 1 placeholders. One run says what follows the text and what follows each of them;
the first token becomes text, and so do those behind it for as long as the model is sure. Nobody judges them.
The paper trains its model to fill placeholders with the rest of a lexical unit, a span it is sure of.
"""

from functools import cache

import torch

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Commit, Flow, Lines, Method, Reader, Tree, chain

CARD = Card(
    name="lexical_unit",
    family="speculative",
    paper="arXiv:2405.15208",
    exact=False,
    summary="placeholders behind the text are filled in the same run, for as long as the model is sure",
    headline="33 % speed-up on text without measured loss, with a model trained on units",
    cost="1 target run per commit, up to 2 * unit - 1 cells",
    options=(
        Option("unit", 4, "tokens of a unit, at most", low=1, high=32),
        Option("beta", 0.9, "least probability of later tokens; above 1: the plain loop", low=0, high=2),
        Option("repeat", 0.95, "least probability of a token that repeats the one before it", low=0, high=2),
        Option("placeholder", -1, "the token that stands for what is not known; -1: the one that ends texts, "
               "0 where none does", low=-1),
    ),
    departures=(
        "the paper's thresholds, unit length and placeholder were not found; these are ours",
        "its control against repetition was not found either; ours is the option repeat",
        "above temperature 0 a unit's first token is drawn, the later ones are the likeliest (ours)",
        "needs a model that was trained on units: another one is sure of nonsense behind a placeholder (the "
        "embedded model wrote 1.87 tokens a run and kept 5 % of greedy's text); lexical_draft is judged",
    ),
)  # fmt: skip


@cache
def unit_of(greedy: bool, beta: float, repeat: float) -> Reader:
    """For each live row: the first token, and the tokens of its placeholders as far as they are sure."""

    def unit(answer: Answer, lines: Lines, chance: Chance) -> list[int]:
        mine = answer.logits[lines.start : lines.start + lines.count]
        sure, best = mine.softmax(-1, dtype=torch.promote_types(mine.dtype, torch.float32)).max(-1)
        token = [int(mine[0].argmax()) if greedy else chance.pick(mine[0], lines.row, lines.position(0))]
        for t, p in zip(best[1:].tolist(), sure[1:].tolist(), strict=True):
            if p < max(beta, repeat if t == token[-1] else 0.0):
                break
            token.append(t)
        return token

    return lambda answer, chance: [unit(answer, lines, chance) for lines in answer.rows]


def placeholder_of(setting: Setting, placeholder: int) -> int:
    """The token that stands for what is not known. Raises ValueError for one that is not there."""
    if placeholder >= setting.vocab:
        raise ValueError(
            f"option placeholder is {placeholder}; allowed is -1 to {setting.vocab - 1}; choose one of these"
        )
    return placeholder if placeholder >= 0 else (setting.eos or (0,))[0]


def lexical_unit(setting: Setting, unit: int, beta: float, repeat: float, placeholder: int) -> Method:
    read, token = unit_of(setting.greedy, beta, repeat), placeholder_of(setting, placeholder)

    def tree(canvas: Canvas, row: int) -> Tree:
        length = len(canvas.rows[row])
        most = min(setting.context - length, canvas.prompt + canvas.budget - length - 1)  # that have room
        return chain([token] * min(unit - 1, most))

    def run(canvas: Canvas) -> Flow:
        while True:
            units = yield Ask(read, guess=tuple(tree(canvas, row) for row in canvas.live))
            yield Commit(units)

    return run

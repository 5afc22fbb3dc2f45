"""AdaDec (He et al. 2025, arXiv:2506.08980): greedy that looks a few tokens ahead where the model hesitates.

At each token the entropy of the law is compared with a threshold. Below it the likeliest token is written.
From it on the likeliest `candidates` are each continued greedily by `ahead` tokens, and the one that begins
the likeliest of these texts, by mean log-probability, is written; the rest is forgotten.

The threshold is a matter of the model. The paper's, in nats: DeepSeek-Coder-1.3B 0.985025 and 6.7B 1.133754,
StableCode-3B 1.100469, Qwen3-0.6B 1.321288, 1.7B 0.615292, 4B 0.713369 and 8B 0.705955. Another model's is
learned by `python -m anyorder.recipes.adadec --model MODEL`.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch

from anyorder.ahead import Branch, Start, Until, never, rollouts
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import ends, likeliest, together, top
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Reader

CARD = Card(
    name="adadec",
    family="search",
    paper="arXiv:2506.08980",
    exact=False,
    summary="greedy; where the law's entropy is high, the candidate whose continuation is likeliest",
    headline="up to 15.5 % more of HumanEval+ and MBPP+ solved than by greedy",
    cost="up to `1 + ahead` runs per token",
    options=(
        Option("threshold", 1.0, "nats of entropy from which it looks ahead; the paper's are 0.6 to 1.3, "
               "learned for each model", low=0),
        Option("candidates", 3, "tokens that are looked behind", low=1, high=256),
        Option("ahead", 5, "tokens of a look-ahead", low=0, high=1024),
        Option("until", "none", "what ends a look-ahead besides end of text; python: four blank lines, or a "
               "line that is not indented", choices=("none", "python")),
    ),
    departures=(
        "the threshold is 1.0 by default, between the paper's (ours)",
        "there is no lambda: with one hypothesis it scales all scores alike",
        "temperatures above 0 are refused: entropy is that of the model's own law; penalties and banned "
        "tokens shape it (ours)",
        "a candidate that itself ends the body is not looked behind (ours)",
    ),
)  # fmt: skip

TAIL = 64  # tokens of the text that are spelled to see where a line begins
BODY_ENDS = re.compile(r"\n(?:[ \t]*\n){4}|\n\S")  # four blank lines; a line that is not indented


class Gate(NamedTuple):
    """What one run says of a row's next token."""

    entropy: float  # nats
    token: int  # the likeliest
    said: list[tuple[int, float]]  # candidates and their log-probabilities, best first


@cache
def gate(candidates: int) -> Reader:
    @together
    def read(answer: Answer, chance: Chance) -> list[Gate]:
        logits = ends(answer)
        logp = logits.log_softmax(-1, dtype=torch.float64)
        entropy = -torch.special.xlogy(logp.exp(), logp.exp()).sum(-1)  # H = - sum p log p
        tokens = top(logits, min(candidates, logits.shape[1]))
        pairs = zip(tokens.tolist(), logp.gather(1, tokens).tolist(), strict=True)
        said = [list(zip(*both, strict=True)) for both in pairs]
        return [Gate(*one) for one in zip(entropy.tolist(), likeliest(logits).tolist(), said, strict=True)]

    return read


def mean(branch: Branch) -> float:
    """Mean log-probability of the candidate and what was looked ahead of it."""
    return sum(branch.logp) / len(branch.logp)


def search(canvas: Canvas, threshold: float, candidates: int, ahead: int, until: Until) -> Flow:
    while True:
        gates: Sequence[Gate] = yield Ask(gate(candidates))
        pauses = [candidates > 1 and one.entropy >= threshold for one in gates]
        starts = [
            [Start((token,), (logp,)) for token, logp in one.said] if pause else []
            for one, pause in zip(gates, pauses, strict=True)
        ]
        high = ", ".join(f"{one.entropy:.3f}" for one, pause in zip(gates, pauses, strict=True) if pause)
        why = f"pause: entropy {high} of {threshold:g} nats"
        branches = yield from rollouts(canvas, starts, ahead, until, why=why)
        best = [max(mine, key=mean, default=None) for mine in branches]
        yield Commit([
            [branch.token[0] if branch else one.token] for branch, one in zip(best, gates, strict=True)
        ])  # fmt: skip


def body_ends(setting: Setting) -> Until:
    """Whether a candidate and what is behind it end the body of the Python function that the text is in."""

    def until(generated: Sequence[int], new: int) -> bool:
        tail, split = generated[-TAIL:], len(generated) - new - 1
        before = len(setting.spell(generated[max(0, len(generated) - TAIL) : split]))
        return any(match.end() > before for match in BODY_ENDS.finditer(setting.spell(tail)))

    return until


def adadec(setting: Setting, threshold: float, candidates: int, ahead: int, until: str) -> Method:
    if not setting.greedy:
        raise ValueError(
            "adadec got a temperature above 0; allowed is 0, because its threshold is one of the model's own "
            "law; leave the temperature out"
        )
    rule = body_ends(setting) if until == "python" else never
    return lambda canvas: search(canvas, threshold, candidates, ahead, rule)

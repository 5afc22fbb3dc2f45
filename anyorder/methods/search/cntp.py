"""Cautious next token prediction (Wang et al. 2025, arXiv:2507.03038): the less sure, the more trials.

One token is drawn where the law is sure. Where its entropy is high, up to `trials` continuations are drawn,
each to its next punctuation mark, and the one of least perplexity is written, all of it: who hesitates thinks
of several ways to end the phrase. `self_consistency/draw=cntp` takes a majority of texts that are drawn so.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import torch

from anyorder.ahead import Branch, Start, rollouts, stream
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.readers import ends, likeliest
from anyorder.core.types import Answer, Ask, Commit, Flow, Method, Reader

CARD = Card(
    name="cntp",
    family="search",
    paper="arXiv:2507.03038",
    exact=False,
    summary="sampling; where the law's entropy is high, the likeliest of several draws of a phrase",
    headline="better than sampling on GSM8K, StrategyQA, MATH and TruthfulQA; more so with self-consistency",
    cost="up to `cap` runs per step",
    temperature=1.0,
    options=(
        Option("trials", 10, "most continuations drawn", low=1, high=256),
        Option("calm", 0.01, "nats of entropy up to which one token is drawn", low=0),
        Option("doubt", 1.5, "nats of entropy from which all trials are drawn; between them, so many in "
               "proportion", low=0),
        Option("formula", "code", "how many trials: as in the official code, or in the paper's listing",
               choices=("code", "paper")),
        Option("cap", 64, "tokens of a trial that meets no mark", low=1, high=4096),
        Option("marks", (), "tokens that end a trial; none given: . , newline ? ! : ; ) ] }"),
    ),
    departures=(
        "temperature is 1.0 by default (ours): the scripts' 1.2 goes with top_p=0.9 or 0.95, which a request "
        "has to name",
        "a trial ends after `cap` tokens (ours), for languages without these marks",
        "the first trial's first token is what plain sampling would draw; all other draws have noise of "
        "their own, so that a trial not taken says nothing about the draws to come (ours)",
        "without a tokenizer there are no marks but those given",
    ),
)  # fmt: skip

MARKS = (".", ",", "\n", "?", "!", ":", ";", ")", "]", "}")


class Caution(NamedTuple):
    """From the entropy to the number of trials."""

    trials: int  # Nmax
    calm: float  # Hmin
    doubt: float  # Hmax
    formula: str

    def __call__(self, entropy: float) -> int:
        share = min(max((entropy - self.calm) / (self.doubt - self.calm), 0.0), 1.0)
        if self.formula == "code":
            return int(1 + (self.trials - 1) * share)
        return max(1, int(self.trials * share))


def cautious(caution: Caution, greedy: bool) -> Reader:
    """For each live row: its first tokens, one for each trial, and their log-probabilities."""

    def read(answer: Answer, chance: Chance) -> list[list[tuple[int, float]]]:
        out = []
        for law, lines in zip(ends(answer), answer.rows, strict=True):
            logp = law.log_softmax(-1, dtype=torch.float64)
            if greedy:  # a law of one token
                tokens = likeliest(law[None]).tolist()
            else:
                trials = caution(float(-torch.special.xlogy(logp.exp(), logp.exp()).sum()))
                place = (lines.row, lines.position(0))
                tokens = [chance.pick(law, *place, turn(lines.length, i)) for i in range(trials)]
            out.append([(token, float(logp[token])) for token in tokens])
        return out

    return read


def turn(length: int, trial: int) -> int:
    """Of a trial's first draw behind so many tokens."""
    return stream(length, trial) if trial else 0


def perplexity(trial: Branch) -> float:
    """Its logarithm: mean of -log p over the trial's tokens."""
    return -sum(trial.logp) / len(trial.logp) if trial.logp else inf


def search(canvas: Canvas, caution: Caution, cap: int, marks: frozenset[int], greedy: bool) -> Flow:
    def marked(generated: Sequence[int], new: int) -> bool:
        return generated[-1] in marks

    while True:
        first = yield Ask(cautious(caution, greedy))
        starts = [
            [Start((t,), (p,), stream(len(canvas.rows[h]), i)) for i, (t, p) in enumerate(mine)]
            for h, mine in zip(canvas.live, first, strict=True)
        ]
        several = [mine if len(mine) > 1 else [] for mine in starts]
        why = f"trials: {', '.join(str(len(mine)) for mine in starts)}"
        trials = yield from rollouts(canvas, several, cap - 1, marked, why=why)
        best = [
            min(mine, key=perplexity) if mine else Branch(one[0].token, one[0].logp, None, False, None)
            for mine, one in zip(trials, starts, strict=True)
        ]
        score = list(canvas.score)  # of each row: log-probability of its text
        for h, trial in zip(canvas.live, best, strict=True):
            score[h] += sum(trial.logp)
        yield Commit([trial.token for trial in best], score=tuple(score))


def cntp(
    setting: Setting, trials: int, calm: float, doubt: float, formula: str, cap: int, marks: tuple[int, ...]
) -> Method:
    if calm >= doubt:
        raise ValueError(f"calm is {calm:g} and doubt {doubt:g}; allowed is less calm than doubt; lower calm")
    if not marks and setting.encode is not None:
        marks = tuple(setting.encode(mark)[0] for mark in MARKS)  # the first token of each mark alone
    caution = Caution(trials, calm, doubt, formula)
    return lambda canvas: search(canvas, caution, cap, frozenset(marks), setting.greedy)

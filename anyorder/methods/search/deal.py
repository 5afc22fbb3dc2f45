"""DeAL (Huang et al. 2024, arXiv:2402.06147): decoding as a search that is told what the text shall be like.

The likeliest candidates for the next token are each continued greedily by `ahead` tokens, and judged by
what they come to: c = log P(text and candidate) + weight * h(text, candidate and look-ahead). The best one is
written, the look-ahead forgotten. h is a reward: keywords or a length that the text shall have, a classifier
or a reward model, or a function of texts from Python:

>>> model.generate("Rain.", method="deal", reward=lambda texts, prompt: ["umbrella" in t for t in texts])

Several rewards combine linearly: `weighted/of=(keywords/words=rain,sun)+0.5*(length/tokens=30)`.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

from anyorder.ahead import Branch, Start, prefix, rollouts
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit, Flow, Method
from anyorder.hypotheses import likely
from anyorder.scoring import Scorer

CARD = Card(
    name="deal",
    family="search",
    paper="arXiv:2402.06147",
    exact=False,
    summary="greedy or beam search that looks ahead and follows a reward",
    headline="Falcon-7B-Instruct covers 80 % of given keywords instead of 62 %, at 22 to 55 times the cost",
    cost="up to `ahead + 2` runs per step",
    options=(
        Option("reward", "constant", "h, a scorer; from Python, a function of texts and prompt that returns "
               "a number for each text", function=True),
        Option("weight", 5.0, "lambda: nats that one unit of reward is worth", low=0),
        Option("candidates", 5, "tokens that are tried behind each hypothesis", low=1, high=256),
        Option("ahead", 16, "tokens of a look-ahead", low=0, high=1024),
        Option("width", 1, "hypotheses kept", low=1, high=256),
        Option("length_penalty", 0.0, "power of the length that log P is divided by", low=-5, high=5),
    ),
    departures=(
        "candidates, ahead and weight are ours: the paper names none; 16 tokens suit rewards of short "
        "outputs, 32 a classifier of harm",
        "log P may be divided by a power of the length, which matters with several hypotheses (ours)",
        "a hypothesis that ended keeps its place as long as its c is among the best (ours)",
        "what was looked ahead is not used again as a draft of the next token",
    ),
)  # fmt: skip


class Found(NamedTuple):
    """A hypothesis of the next step."""

    parent: int
    token: tuple[int, ...]
    logp: tuple[float, ...]  # of every token generated
    c: float


class Aim(NamedTuple):
    """c of a text: how likely it is and what its reward is worth."""

    reward: Scorer
    weight: float
    length_penalty: float

    def judged(self, canvas: Canvas, tried: Sequence[tuple[int, Branch]], logp: Sequence[Any]) -> list[Found]:
        prefixes = [prefix(canvas, row, branch, logp[row]) for row, branch in tried]
        h = self.reward(prefixes) if self.weight else [0.0] * len(tried)
        found = []
        for (row, branch), reward in zip(tried, h, strict=True):
            every = (*logp[row], branch.logp[0])
            likelihood = sum(every) / len(every) ** self.length_penalty
            c = likelihood + (self.weight * reward if reward else 0.0)
            found.append(Found(row, branch.token[:1], every, c))
        return found


def search(canvas: Canvas, aim: Aim, candidates: int, ahead: int, width: int) -> Flow:
    logp: list[tuple[float, ...]] = [()] * len(canvas.rows)  # of each row's tokens
    while True:
        said = yield Ask(likely(candidates))
        starts = [[Start((token,), (p,)) for token, p in mine] for mine in said]
        hidden = aim.reward.hidden and aim.weight > 0
        branches = yield from rollouts(canvas, starts, ahead if aim.weight else 0, hidden=hidden)
        tried = [(row, one) for row, mine in zip(canvas.live, branches, strict=True) for one in mine]
        over = [
            Found(row, (), logp[row], canvas.score[row])
            for row, why in enumerate(canvas.ended)
            if why is not None
        ]
        found = sorted(over + aim.judged(canvas, tried, logp), key=lambda one: -one.c)[:width]
        logp = [one.logp for one in found]
        parents = tuple(one.parent for one in found)
        yield Commit([one.token for one in found], parents=parents, score=tuple(one.c for one in found))


def deal(
    setting: Setting,
    reward: Any,
    weight: float,
    candidates: int,
    ahead: int,
    width: int,
    length_penalty: float,
) -> Method:
    if weight == inf:
        raise ValueError("weight is inf; allowed is a number of nats; a large one, like 1e6, outweighs log P")
    aim = Aim(setting.scorer(reward), weight, length_penalty)
    return lambda canvas: search(canvas, aim, candidates, ahead, width)

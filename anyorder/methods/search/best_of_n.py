"""Best of n: several texts are drawn, a scorer says which is the best.

The texts are rows of one canvas, drawn side by side in shared runs; the first is plain sampling's. The scorer
judges whole texts: their likelihood, a reward model, or a function from Python.

>>> model.generate("A pun about cats.", method="best_of_n", scorer=funny).texts     # best first
"""

from typing import Any

from anyorder.ahead import concluded, draws, prefix, spread
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.scoring import Scorer

CARD = Card(
    name="best_of_n",
    family="search",
    paper="textbook",
    exact=False,
    summary="several sampled texts, ranked by a scorer",
    cost="1 run per step, 1 cell for each text that goes on",
    temperature=1.0,
    options=(
        Option("texts", 4, "n: texts drawn", low=1, high=256),
        Option("scorer", "likelihood/mean=true", "ranks the texts; from Python, a function of texts and "
               "prompt that returns a number for each text", function=True),
    ),
    departures=("at temperature 0 all texts are equal, so that one is written",),
)  # fmt: skip


def search(canvas: Canvas, texts: int, scorer: Scorer, greedy: bool) -> Flow:
    yield from spread(canvas, texts)
    logp: list[list[float]] = [[] for _ in canvas.rows]  # of each row's tokens

    def judge(after: Canvas) -> list[tuple[int, float]]:
        said = scorer([prefix(after, row, logp=mine) for row, mine in enumerate(logp)])
        return sorted(enumerate(said), key=lambda ranked: -ranked[1])

    yield from concluded(canvas, draws(canvas, logp, greedy), judge)


def best_of_n(setting: Setting, texts: int, scorer: Any) -> Method:
    judge: Scorer = setting.scorer(scorer)
    if judge.hidden:
        raise ValueError(
            f"scorer {judge.name} wants hidden states, which whole texts have none of; name another"
        )
    n = 1 if setting.greedy else texts
    return lambda canvas: search(canvas, n, judge, setting.greedy)

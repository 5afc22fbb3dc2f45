"""Self-consistency (Wang et al. 2022, arXiv:2203.11171): several ways to think, the answer most reach.

Several texts are drawn, an answer is read off each, the most frequent one wins: a problem may be solved in
many ways, and mistakes seldom agree. How a text is drawn is a choice of its own:

    self_consistency/draw=(cntp/trials=10)
"""

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from anyorder.ahead import concluded, draws, spread
from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method

CARD = Card(
    name="self_consistency",
    family="search",
    paper="arXiv:2203.11171",
    exact=False,
    summary="several sampled texts, of which the most frequent answer wins",
    headline="GSM8K solved by PaLM-540B: 74.4 % instead of 56.5 %, with 40 texts",
    cost="1 run per step, 1 cell for each text that goes on; another draw costs what it says",
    temperature=0.7,
    options=(
        Option("texts", 8, "texts drawn; the paper's 40", low=1, high=1024),
        Option("answer", "number", "what is counted: number (the last one), line (the last one), or the last "
               "match of a regular expression, or of its first group", local=True, within=("number", "line")),
        Option("draw", "", "a method that draws each text, such as cntp; none: plain sampling"),
    ),
    departures=(
        "8 texts by default (ours), the paper's figures are of 40",
        "among texts with the winning answer the likeliest comes first, by mean log-probability (ours)",
        "a text without an answer has no vote; if none has one, the likeliest text comes first (ours)",
        "at temperature 0 all texts are equal, so that one is written",
    ),
)  # fmt: skip

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
Answer = Callable[[str], str | None]


def number(text: str) -> str | None:
    """The last number, as it is counted: 1,200.50 is 1200.5."""
    found = NUMBER.findall(text)
    return f"{Decimal(found[-1].replace(',', '')).normalize():f}" if found else None


def line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), None)


def matching(pattern: str) -> Answer:
    """The last match of a regular expression; its first group, if it has one. Raises ValueError."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"answer is {pattern!r}, which is no regular expression: {error}; allowed are number, line and "
            "regular expressions; correct it"
        ) from None

    def answer(text: str) -> str | None:
        *_, last = (None, *expression.finditer(text))
        return last and last[1 if expression.groups else 0]

    return answer


def search(canvas: Canvas, texts: int, answer: Callable[[list[int]], str | None], draw: Method) -> Flow:
    yield from spread(canvas, texts)

    def judge(after: Canvas) -> list[tuple[int, float]]:
        rows = range(len(after.rows))
        answers = [answer(after.generated(row)) for row in rows]
        votes = Counter(one for one in answers if one is not None)
        likely = [after.score[row] / max(1, len(after.generated(row))) for row in rows]
        share = [votes[one] / len(answers) if one is not None else 0.0 for one in answers]
        best = max(rows, key=lambda row: (share[row], likely[row]))
        first = [row for row in rows if answers[row] == answers[best]]  # two answers may have as many votes
        order = sorted(rows, key=lambda row: (row not in first, -share[row], -likely[row]))
        return [(row, share[row]) for row in order]

    yield from concluded(canvas, draw(canvas), judge)


def self_consistency(setting: Setting, texts: int, answer: str, draw: str) -> Method:
    read = {"number": number, "line": line}.get(answer) or matching(answer)
    n = 1 if setting.greedy else texts

    def plain(canvas: Canvas) -> Flow:
        return draws(canvas, [[] for _ in canvas.rows], setting.greedy)

    inner: Method = setting.method(draw) if draw else plain
    return lambda canvas: search(canvas, n, lambda tokens: read(setting.spell(tokens)), inner)

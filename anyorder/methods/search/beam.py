"""Beam search: the `width` likeliest hypotheses, side by side.

Each step extends every live row by every token and keeps the best. A hypothesis that ends is ranked by its
log-probability over its length to the power `length_penalty`; `stop` says when the ended ones are enough.
The hypotheses and their scores are those of transformers' `generate(num_beams=width)`, whose
`early_stopping` is

- True for "full": when `width` have ended (Sutskever et al. 2014);
- False for "bound": when no live row can beat them at its present length;
- "never" for "never": when none could even at the longest.

A length is that of the generated tokens, the end-of-text token included.
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method
from anyorder.hypotheses import Row, Rule, commit, extended, likely, written

CARD = Card(
    name="beam",
    family="search",
    paper="textbook",
    exact=False,
    summary="the likeliest of several hypotheses",
    cost="1 target run per step, 1 cell per live hypothesis",
    options=(
        Option("width", 4, "hypotheses kept", low=1, high=256),
        Option("length_penalty", 1.0, "power of the length that scores are divided by", low=-5, high=5),
        Option("stop", "bound", "when ended hypotheses suffice", choices=("full", "bound", "never")),
    ),
    departures=(
        "penalties and the like shape the law before its logarithm is taken; transformers adds them to "
        "log-probabilities and does not normalize again",
    ),
)


def search(canvas: Canvas, rule: Rule) -> Flow:
    rows = [restored(canvas, h, rule) for h in range(len(canvas.rows))]
    while True:
        said = yield Ask(likely(rule.reach(canvas)))
        best = extended([rows[h] for h in canvas.live], said)[: rule.reach(canvas)]
        ended = [row for row in rows if canvas.ended[row.parent] is not None]
        rows = rule.step(canvas, ended, best)
        yield commit(rows)
        rows = written(rows)


def restored(canvas: Canvas, row: int, rule: Rule) -> Row:
    """What a row is worth, from its score on the canvas."""
    logp = canvas.score[row] * max(len(canvas.rows[row]) - canvas.prompt, 1) ** rule.length_penalty
    return Row((), row, logp, logp, canvas.score[row])


def beam(setting: Setting, width: int, length_penalty: float, stop: str) -> Method:
    return lambda canvas: search(canvas, Rule(width, length_penalty, stop))

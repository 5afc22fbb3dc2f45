"""Attribute-conditional beam search (Yoshida et al. 2023, arXiv:2311.08817; Yoshida 2024, arXiv:2408.16241).

The likeliest text of all is often empty or a loop; the likeliest with an attribute a is not. It is the best
by log p(x) + log p(a | x). A prefix is judged by log q(a | prefix), how likely the whole text is to have the
attribute: at each step anew for the whole prefix, never summed over steps, which would count evidence twice.

`attribute` is a scorer that returns log q, like `not_degenerate` or `exact_length/tokens=40`; minus infinity
says impossible. A scorer whose numbers lie between 0 and 1 is taken for q. From Python, a function:

>>> model.generate("Rain.", method="conditional_beam",
...                attribute=lambda texts, prompt: [-100.0 * ("umbrella" in t) for t in texts])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Flow, Method
from anyorder.hypotheses import Row, Rule, closes, commit, extended, likely, written
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="conditional_beam",
    family="search",
    paper="arXiv:2311.08817",
    exact=False,
    summary="beam search for the likeliest text that has an attribute, such as not being a loop",
    headline="the likeliest texts of a given length are fluent where the likeliest of all are empty or loops",
    cost="1 target run per step, 1 cell per live hypothesis",
    options=(
        Option("attribute", "not_degenerate", "a scorer that returns log q(a | prefix); from Python, a "
               "function of texts and prompt that does", function=True),
        Option("width", 8, "hypotheses kept", low=1, high=256),
        Option("candidates", 32, "next tokens of each hypothesis that are judged; the end of text always is",
               low=1, high=4096),
        Option("weight", 1.0, "what log q is multiplied by", low=0, high=1e6),
        Option("floor", 1e-6, "least q of what is not impossible", low=1e-300, high=1),
        Option("length_penalty", 0.0, "power of the length that log p is divided by", low=-5, high=5),
        Option("stop", "bound", "when ended hypotheses suffice, as in beam",
               choices=("full", "bound", "never")),
    ),
    departures=(
        "width, candidates, weight and floor are ours: the paper names none",
        "the attribute is a scorer of texts; the paper trains a small head on the target's hidden states",
        "built-in attributes are rules, not classifiers, so that nothing needs training (ours)",
        "impossible hypotheses are dropped while there are others (ours)",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Conditional(Rule):
    """`total` is log p + log q of a whole text or prefix."""

    def score(self, row: Row, length: int) -> float:
        return row.logp / length**self.length_penalty + (row.total - row.logp)


@dataclass(frozen=True)
class Attribute:
    scorer: Scorer
    weight: float
    floor: float

    def log_q(self, said: float) -> float:
        """Times the weight; minus infinity for what is impossible."""
        if self.scorer.bounds == (0.0, 1.0):
            return self.weight * log(max(said, self.floor))
        return self.weight * max(said, log(self.floor)) if said > -inf else -inf

    def judged(self, canvas: Canvas, rows: Sequence[Row]) -> list[Row]:
        """The same hypotheses by log p + log q, best first."""
        log_q = [self.log_q(said) for said in self.scorer([prefix(canvas, row) for row in rows])]
        possible = [(row, q) for row, q in zip(rows, log_q, strict=True) if q > -inf]
        some = possible or [(row, self.weight * log(self.floor)) for row in rows]
        return sorted((row._replace(total=row.logp + q) for row, q in some), key=lambda row: -row.total)


def prefix(canvas: Canvas, row: Row) -> Prefix:
    """A hypothesis as scorers see it: one that ends is a complete text."""
    own = canvas.generated(row.parent)
    full = len(own) + 1 == canvas.budget or closes(canvas, row.parent, row.token[0])
    return Prefix(tuple(canvas.rows[row.parent][: canvas.prompt]), (*own, *row.token), ended=full)


def search(canvas: Canvas, attribute: Attribute, candidates: int, rule: Conditional) -> Flow:
    rows = [Row((), 0, 0.0, 0.0)]
    while True:
        said = yield Ask(likely(candidates, tuple(sorted(canvas.eos))))
        live = [rows[h]._replace(total=rows[h].logp) for h in canvas.live]  # q of before is forgotten
        best = attribute.judged(canvas, extended(live, said))[: rule.reach(canvas)]
        rows = rule.step(canvas, [row for row in rows if canvas.ended[row.parent]], best)
        yield commit(rows)
        rows = written(rows)


def conditional_beam(
    setting: Setting, attribute: Any, width: int, candidates: int, weight: float, floor: float,
    length_penalty: float, stop: str,
) -> Method:  # fmt: skip
    scorer = setting.scorer(attribute)
    if scorer.hidden:
        raise ValueError(
            f"attribute {scorer.name} judges hidden states, and candidates were not read yet; "
            "allowed are scorers of texts; choose another"
        )
    judge, rule = Attribute(scorer, weight, floor), Conditional(width, length_penalty, stop)
    return lambda canvas: search(canvas, judge, candidates, rule)

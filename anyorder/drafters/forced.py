"""Forced tokens (ours; guidance calls them fast-forward tokens): what a constraint leaves no choice about.

After `{"na` a schema may allow one name only. The tokens that spell the rest are guesses that cost no draft
and nearly always hold; they are judged like any others, since a text may be spelled by other tokens.

Every speculative method guesses them by itself. This drafter guesses nothing else, and gives them to teams.
"""

from anyorder.card import Card, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree, chain
from anyorder.drafter import After, Drafter, Ranked, by_row

CARD = Card(
    name="forced",
    family="speculative",
    paper="ours",
    exact=True,
    kind="point",
    summary="guesses what a constraint (json_schema, grammar, ...) leaves no choice about, and nothing else",
    cost="1 target run per commit, the cells of the forced tokens",
)

SURE = 0.98  # the chance of a forced token: another spelling of the same text may be likelier


def forced(setting: Setting) -> Drafter:
    def known(canvas: Canvas, row: int) -> tuple[int, ...]:
        return () if setting.forced is None else tuple(setting.forced(canvas, row))

    def guess(canvas: Canvas, row: int) -> Tree:
        return chain(known(canvas, row), source=CARD.name)

    def rank(canvas: Canvas, row: int) -> After:
        tokens = known(canvas, row)

        def after(path: tuple[int, ...]) -> Ranked:
            depth = len(path)
            return [(tokens[depth], SURE)] if depth < len(tokens) and path == tokens[:depth] else []

        return after

    return Drafter(by_row(guess), rank=rank)

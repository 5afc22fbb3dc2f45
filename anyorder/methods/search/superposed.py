"""Superposed Decoding (Shen et al. 2024, arXiv:2405.18400): k suggestions for the price of one text.

`superposition` holds the method: each run reads a mixture of the drafts' last tokens and serves all drafts.
What it computed belongs to no draft, so a span is short, and the next one begins behind the best draft with
cells of its own text.
"""

from collections.abc import Callable

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Commit, Flow, Method
from anyorder.superposition import Grams, Superposition, superpose, with_text
from anyorder.tables import corpus as table_of

CARD = Card(
    name="superposed",
    family="search",
    paper="arXiv:2405.18400",
    exact=False,
    summary="several continuations from one run for each position, whose cell mixes their last tokens",
    headline="2.44x faster than nucleus sampling for 3 drafts",
    cost="1 target run per token",
    options=(
        Option("drafts", 3, "continuations, best first", low=1, high=64),
        Option("tokens", 10, "tokens of a span; longer texts go on behind the best draft", low=1, high=256),
        Option("alpha", 0.0, "power of the n-gram model; 0.54 is the paper's for 3 drafts, with the n-grams "
               "of 200 million tokens", low=0, high=1),
        Option("corpus", "",
               "a .txt, .jsonl or .npz file for the n-grams; without one only prompt and text", local=True),
        Option("candidates", 9, "tokens that may extend a draft", low=1, high=1024),
        Option("sharpness", 0.06, "temperature of the law that weighs candidates", low=0.001, high=10),
    ),
    departures=(
        "alpha is 0 by default: without the paper's tables few candidates have n-grams, and a draft that has "
        "none falls behind all others (ours)",
        "n-grams are those of prompt and text so far, and of a corpus file if one is named (ours)",
        "a text longer than a span goes on from the best draft, so that the continuations differ in the last "
        "span only (ours)",
        "drafts that ended keep their place in the ranking and leave the mixture; the reference carries "
        "twice as many and separates them",
        "where all drafts end in the same token the cell reads that token itself",
        "penalties count the text of earlier spans, not the drafts' own tokens: a mixed cell is no text",
    ),
)  # fmt: skip


def suggestions(canvas: Canvas, how: Superposition, tokens: int, grams: Callable[[int], Grams]) -> Flow:
    while True:
        best = max(range(len(canvas.rows)), key=canvas.score.__getitem__)
        if canvas.ended[best]:
            return
        if len(canvas.rows) > 1:  # the next span belongs to the best draft alone
            yield Commit([()], parents=(best,), score=(canvas.score[best],))
        span = min(tokens, canvas.budget - len(canvas.generated()))
        (drafts,) = yield from superpose(canvas, how, span, grams, eos=canvas.eos)
        score = [canvas.score[0] + draft.score for draft in drafts]
        yield Commit([draft.token for draft in drafts], parents=(0,) * len(drafts), score=tuple(score))


def superposed(
    setting: Setting, drafts: int, tokens: int, alpha: float, corpus: str, candidates: int, sharpness: float
) -> Method:
    table = None
    if alpha and corpus:
        table = table_of(corpus, setting.memory, setting.encode, setting.spelling, setting.vocab)
    how = Superposition(drafts, candidates, sharpness, alpha)
    return lambda canvas: suggestions(canvas, how, tokens, lambda row: with_text(table, canvas.rows[row]))

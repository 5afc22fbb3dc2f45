"""Beam search: the `width` likeliest hypotheses, side by side.

Each step extends every live row by every token and keeps the best. A hypothesis that ends is ranked by its
log-probability over its length to the power `length_penalty`; `stop` says when the ended ones are enough:
"full" when `width` have ended (Sutskever et al. 2014), "bound" when no live row can beat them at its present
length, "never" when none could even at the longest.
"""

from typing import NamedTuple

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import log_probs
from anyorder.core.types import Ask, Commit, Flow, Method

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
)


class Row(NamedTuple):
    """A hypothesis of the next step: what it adds to which row, its rank and its log-probability."""

    token: tuple[int, ...]
    parent: int
    score: float
    total: float


def search(canvas: Canvas, width: int, length_penalty: float, stop: str) -> Flow:
    def ranked(score: float, length: int) -> float:
        return score / max(length, 1) ** length_penalty

    spans = [max(len(row) - canvas.prompt, 1) for row in canvas.rows]
    total = [s * n**length_penalty for s, n in zip(canvas.score, spans, strict=True)]  # log-probabilities
    while True:
        live = canvas.live
        logp = yield Ask(log_probs)  # [L, V]
        vocab = logp.shape[1]
        reach = min(2 * width, logp.numel())  # at most `width` of them end, so `width` go on
        best = (logp + logp.new_tensor([[total[h]] for h in live])).flatten().topk(reach)
        ended = [h for h in range(len(canvas.rows)) if h not in live]
        rows = [Row((), h, canvas.score[h], total[h]) for h in ended]
        going: list[Row] = []
        length = len(canvas.rows[live[0]]) + 1 - canvas.prompt
        for rank, (value, index) in enumerate(zip(best.values.tolist(), best.indices.tolist())):
            parent, token = live[index // vocab], index % vocab
            if token in canvas.eos:
                if rank < width:
                    rows.append(Row((token,), parent, ranked(value, length), value))
            elif len(going) < width:
                going.append(Row((token,), parent, ranked(value, length), value))
        rows = sorted(rows, key=lambda row: -row.score)[:width]
        worst = rows[-1].score if len(rows) == width else float("-inf")
        longest = canvas.budget if stop == "never" and length_penalty > 0 else length
        hope = max((ranked(row.total, longest) for row in going), default=float("-inf"))
        over = len(rows) == width and (stop == "full" or hope <= worst)
        if over or length == canvas.budget:
            rows = sorted(rows if over else rows + going, key=lambda row: -row.score)[:width]
        else:
            rows = rows + going
        total = [row.total for row in rows]
        token, parents, score, _ = zip(*rows, strict=True)
        yield Commit(token, parents=parents, score=score)
        if over:
            return


def beam(setting: Setting, width: int, length_penalty: float, stop: str) -> Method:
    return lambda canvas: search(canvas, width, length_penalty, stop)

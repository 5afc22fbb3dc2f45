"""Static unmasking (LLaDA, arXiv:2502.09992, "low-confidence remasking"): a fixed number of cells a step.

Block by block; in each step the surest cells of the block become text, and never change again. With as many
steps as a block has cells, one cell at a time.
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.readers import argmax_with_confidence, sample_with_confidence
from anyorder.core.types import Ask, Commit, Flow, Method, Reader

CARD = Card(
    name="static",
    family="diffusion",
    paper="arXiv:2502.09992",
    exact=True,
    summary="a fixed number of the surest cells each step",
    cost="`steps` runs per block",
    canvas="cells",
    options=(Option("steps", 0, "steps per block; 0: one for each cell", low=0),),
    departures=("ties of confidence go to the leftmost cell (ours)",),
)


def unmask(canvas: Canvas, read: Reader, steps: int) -> Flow:
    for block in canvas.blocks():
        while any(holes := canvas.holes(block)):
            answer = yield Ask(read, at=holes)  # per row: tokens and their probabilities
            token, at = [], []
            for cells, (guess, sure) in zip(holes, answer, strict=True):
                quota = _quota(len(block), steps or len(block), len(cells))
                pick = sorted(sorted(range(len(cells)), key=lambda i: (-sure[i], i))[:quota])
                token.append([guess[i] for i in pick])
                at.append([cells[i] for i in pick])
            yield Commit(token, at=at)


def _quota(cells: int, steps: int, holes: int) -> int:
    """Cells of this step: an even share, the first steps taking the rest (the paper's schedule)."""
    share, rest = divmod(cells, min(steps, cells))
    return share + (cells - holes < rest * (share + 1))


def static(setting: Setting, steps: int) -> Method:
    read = argmax_with_confidence if setting.greedy else sample_with_confidence
    return lambda canvas: unmask(canvas, read, steps)

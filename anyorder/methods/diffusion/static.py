"""Static unmasking (LLaDA, arXiv:2502.09992, "low-confidence remasking"): a fixed number of cells a step.

Block by block; in each step the surest cells of the block become text, and never change again. With as many
steps as a block has cells, one cell at a time: what parallel decoding of these models is measured against.
"""

import warnings

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Flow, Method
from anyorder.filling import Policy, Seen, confidence, look, surest, unmask

CARD = Card(
    name="static",
    family="diffusion",
    paper="arXiv:2502.09992",
    exact=True,
    summary="a fixed number of the surest cells each step",
    cost="`steps` runs per block",
    canvas="cells",
    options=(
        Option("steps", 0, "steps per block; 0: one for each cell; fewer: the first ones write more", low=0),
        Option(
            "order",
            "confidence",
            "who comes first: the likeliest token, the widest margin to the next one, or the least entropy",
            choices=("confidence", "margin", "entropy"),
        ),
    ),
    departures=(
        "ties of confidence go to the leftmost cell (ours)",
        "steps that do not divide a block: the first steps write one cell more (the paper refuses them)",
        "above temperature 0 confidence is read off the tempered law, as in Dream (the paper: the plain one)",
    ),
)


def quota(cells: int, steps: int, holes: int) -> int:
    """Cells of this step: an even share, the first steps taking the rest (the paper's schedule)."""
    share, rest = divmod(cells, min(steps or cells, cells))
    return share + (cells - holes < rest * (share + 1))


def schedule(canvas: Canvas, steps: int, order: str) -> Policy:
    """The cells of the next step, the surest first. Says so where steps do not divide a block."""
    score = confidence(order)
    for length in sorted({len(block) for block in canvas.blocks()}):
        if steps and (more := length % min(steps, length)):
            warnings.warn(
                f"{steps} steps do not divide a block of {length} cells; the first {more} write one more",
                stacklevel=2,
            )

    def policy(seen: Seen) -> list[int]:
        cells = next(len(block) for block in canvas.blocks() if seen.cells[0] in block)
        return surest(score(seen))[: quota(cells, steps, len(seen))]

    return policy


def static(setting: Setting, steps: int, order: str) -> Method:
    def method(canvas: Canvas) -> Flow:
        return unmask(canvas, look(setting.greedy), schedule(canvas, steps, order))

    return method

"""What a decoder must know about a diffusion net beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

ATTENTIONS = ("full", "block", "reordered", "hybrid")


@dataclass(frozen=True)
class Adapter:
    """How the cells of one net see each other, and where its predictions stand.

    `attention`: "full": every cell sees all of its row; "block": a cell sees its own block and the blocks
    before it, counted from cell 0 of the row; "reordered": causal, filled cells moved before open ones, each
    keeping its position (WeDLM, arXiv:2512.22737); "hybrid": filled blocks are causal, the open one is
    two-way inside.
    """

    mask: int  # id of M
    attention: str = "full"
    shift: bool = False  # line i-1 predicts cell i
    block: int = 0  # trained block length; 0: any
    cells: int = 0  # of a canvas whose request names no number; 0: many

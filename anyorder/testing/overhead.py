"""What the protocol itself costs: loop, canvas and readers around a net that does nothing.

>>> python -m anyorder.testing.overhead
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence

import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, decode
from anyorder.core.types import Answer, Ask, Commit, Lines
from anyorder.registry import build

ALLOWED = 50.0  # microseconds per step at batch 1


class Constant:
    """Answers every ask with the same logits."""

    vocab, context, can = 64, 1 << 30, frozenset({"rows", "pack"})

    def __init__(self) -> None:
        self.logits = torch.arange(64.0)[None]

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        return [Answer(self.logits, (Lines(0, 0, len(c.rows[0])),), cells=1) for _, c in asks]

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        pass


def microseconds_per_step(name: str = "greedy", steps: int = 500, batches: int = 15) -> float:
    """The median over some batches of steps of a method at batch 1."""
    method = build(name, {}, Setting(greedy=name == "greedy"))
    figures = []
    for _ in range(batches):
        request = Request(Canvas([0], steps), method, {"target": Constant()})
        start = time.perf_counter()
        for _ in decode([request]):
            pass
        figures.append((time.perf_counter() - start) / steps * 1e6)
    return statistics.median(figures)


if __name__ == "__main__":
    torch.set_num_threads(1)
    figures = {name: round(microseconds_per_step(name), 1) for name in ("greedy", "sample")}
    print(json.dumps({"microseconds_per_step": figures, "allowed": ALLOWED}))

"""A net that is a function of the text: whatever law an example needs, and fast when laws are asked again.

>>> net = ByText(lambda text: torch.tensor([0.3, 0.3, 0.4]).log())  # the same law after any text
>>> fast = ByText(ToyCausal(vocab=3).plain)                         # a toy without its cache
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit, Lines, Tree


class ByText:
    """Answers every line with `law(text)`: logits [V] of the token after the text. It has nothing to forget
    but the laws it was told, which never change."""

    can = frozenset({"tree", "rows", "pack"})

    def __init__(self, law: Callable[[tuple[int, ...]], Tensor], context: int = 1 << 16):
        self.law, self.context = law, context
        self.told: dict[tuple[int, ...], Tensor] = {}
        self.vocab = len(law((0,)))

    def forget(self) -> None:
        self.told = {}

    def plain(self, text: Sequence[int]) -> Tensor:
        key = tuple(text)
        if key not in self.told:
            self.told[key] = self.law(key)
        return self.told[key]

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer]:
        return [self._answer(ask, canvas) for ask, canvas in asks]

    def _answer(self, ask: Ask, canvas: Canvas) -> Answer:
        logits: list[Tensor] = []
        rows = []
        for i, h in enumerate(canvas.live):
            tree = ask.guess[i] if ask.guess else Tree()
            rows.append(Lines(h, len(logits) - ask.skip, len(canvas.rows[h]), tree))
            if ask.at is not None:
                rows[-1] = Lines(h, len(logits), len(canvas.rows[h]), cells=tuple(ask.at[i]))
                logits += [self.plain(canvas.rows[h][:cell]) for cell in ask.at[i]]
                continue
            for node in range(ask.skip - 1, len(tree)):
                logits.append(self._said(canvas.rows[h], tree.path(node), tree))
        said = torch.stack(logits) if logits else self.plain((0,)).new_empty(0, self.vocab)
        return Answer(said, tuple(rows), cells=len(logits))

    def _said(self, text: list[int], path: list[int], tree: Tree) -> Tensor:
        """After a soft node: the mixture of what is said after its tokens."""
        if (i := next((i for i, t in enumerate(path) if t < 0), None)) is None:
            return self.plain([*text, *path])
        parts = tree.soft[path[i]].items()
        said = [w * self._said(text, [*path[:i], t, *path[i + 1 :]], tree) for t, w in parts]
        return torch.stack(said).sum(0)

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        """A function of the text follows it by itself."""

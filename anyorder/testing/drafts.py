"""Small laws and drafters to judge rules by: fixed trees, and trees filled by draws from the net "draft"."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from anyorder.core.chance import Chance
from anyorder.core.types import Answer, Ask, Tree
from anyorder.drafter import Drafter, by_row
from anyorder.testing.by_text import ByText

P, Q = (0.3, 0.3, 0.4), (0.6, 0.3, 0.1)  # the worked example: the target's law and the drafter's


def same_law(*law: float) -> ByText:
    """A net with one law whatever the text."""
    logits = torch.tensor(law, dtype=torch.float64).log()
    return ByText(lambda text: logits)


def mixed_law(seed: int, vocab: int = 3) -> ByText:
    """A net with another law after each text, none of them extreme."""

    def law(text: tuple[int, ...]) -> Tensor:
        source = torch.Generator().manual_seed(zlib.crc32(repr((seed, *map(int, text))).encode()))
        return torch.randn(vocab, generator=source, dtype=torch.float64)

    return ByText(law)


def fixed(parents: Sequence[int], tokens: Sequence[int]) -> Drafter:
    """The same tree whatever the text: a point drafter."""
    return Drafter(by_row(lambda canvas, row: Tree(tuple(tokens), tuple(parents))))


def drawn(parents: Sequence[int], kind: str) -> Drafter:
    """A tree of that form, filled by draws from the draft net, on an empty canvas; afterwards no guesses.

    Node i draws with turn i. `kind` "distinct": a node draws what its earlier siblings left over.
    """

    def draft(canvas: Any) -> Any:
        token: list[int] = []
        laws: list[Tensor] = []
        while len(token) < len(parents) and not canvas.generated():
            last = max(i for i, p in enumerate(parents) if p < len(token))  # all whose parents are drawn

            def read(answer: Answer, chance: Chance, first: int, last: int) -> None:
                (lines,) = answer.rows
                for i in range(first, last + 1):
                    law = answer.logits[lines.start + 1 + parents[i]].double().softmax(-1)
                    if kind == "distinct":
                        gone = [token[j] for j in range(i) if parents[j] == parents[i]]
                        law = law.index_fill(0, torch.tensor(gone, dtype=torch.long), 0.0)
                        law = law / law.sum()
                    place = lines.position(parents[i] + 1)
                    token.append(chance.pick(law.log(), lines.row, place, turn=i))
                    laws.append(law)

            yield Ask(
                partial(read, first=len(token), last=last),
                guess=(Tree(tuple(token), tuple(parents[: len(token)])),),
                net="draft",
            )
        return (Tree(tuple(token), tuple(parents[: len(token)]), torch.stack(laws) if laws else None),)

    return Drafter(draft, kind=kind)

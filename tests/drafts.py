"""Small drafters and laws that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request, as_it_is, decode
from anyorder.core.types import Ask, Method, Net, Shape, Tree
from anyorder.drafter import Drafter, by_row
from anyorder.methods.speculative.speculative import with_drafter
from anyorder.testing import ByText

P, Q = (0.3, 0.3, 0.4), (0.6, 0.3, 0.1)  # the worked example
SAMPLING = Setting(greedy=False, vocab=3)


def same_law(*law: float) -> ByText:
    """A net with one law whatever the text."""
    logits = torch.tensor(law, dtype=torch.float64).log()
    return ByText(lambda text: logits)


def mixed_law(seed: int, vocab: int = 3) -> ByText:
    """A net with another law after each text, none of them extreme."""

    def law(text: tuple[int, ...]) -> Tensor:
        source = torch.Generator().manual_seed(hash((seed, *text)) % (1 << 62))
        return torch.randn(vocab, generator=source, dtype=torch.float64)

    return ByText(law)


def fixed(parents: Sequence[int], tokens: Sequence[int]) -> Drafter:
    """The same tree whatever the text: a point drafter."""
    return Drafter(by_row(lambda canvas, row: Tree(tuple(tokens), tuple(parents))))


def drawn(parents: Sequence[int], kind: str) -> Drafter:
    """A tree of that form, filled by draws from the draft net, on an empty canvas; afterwards no guesses.

    Node i draws with turn i. `kind` "distinct": a node draws what its earlier siblings left over.
    """

    def draft(canvas: Canvas) -> Any:
        token: list[int] = []
        laws: list[Tensor] = []
        while len(token) < len(parents) and not canvas.generated():
            last = max(i for i, p in enumerate(parents) if p < len(token))  # all whose parents are drawn

            def read(answer, chance, first, last):
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


def text_of(
    method: Method, nets: dict[str, Net], budget: int, shape: Shape = as_it_is, eos: Sequence[int] = ()
) -> Callable[[Any], tuple[int, ...]]:
    """chance -> the text that the method writes after the prompt [0]."""

    def run(chance: Any) -> tuple[int, ...]:
        canvas = Canvas([0], budget, eos=eos)
        for _ in decode([Request(canvas, method, nets, shape, chance)]):
            pass
        return tuple(canvas.generated())

    return run


def first_commit(method: Method, nets: dict[str, Net], budget: int = 1) -> Callable[[Any], tuple[int, ...]]:
    """chance -> what the first commit wanted to write: accepted guesses and one token more."""

    def run(chance: Any) -> tuple[int, ...]:
        request = Request(Canvas([0], budget), method, nets, chance=chance)
        for event in decode([request]):
            request.canvas.close()
            path = tuple(event.commit.token[0])
        return path

    return run


def judged(drafter: Drafter, verify: str) -> Method:
    return with_drafter(drafter, SAMPLING, verify)

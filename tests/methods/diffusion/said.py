"""A net that says what a function says, and how tests of policies run a method on a net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from anyorder.card import Setting
from anyorder.core.canvas import Canvas, Stop
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.core.types import Method
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import play
from anyorder.testing.oracle import Oracle
from anyorder.testing.record import Record


class Said(Oracle):
    """`says`: (cells behind the prompt) -> what stands there most likely and how sure that is, for each cell.

    The rest of the probability is shared by all other tokens. The last token of the vocabulary is the mask.
    """

    def __init__(self, says: Callable[[list[int]], Sequence[tuple[int, float]]], vocab: int = 20):
        super().__init__({}, vocab, vocab - 1, vocab - 2)
        self.says = says

    def plain(self, row: Sequence[int], prompt: int) -> Tensor:
        said = self.says(list(row[prompt:]))
        laws = torch.zeros(len(said), self.vocab, dtype=torch.float64)
        for law, (token, sure) in zip(laws, said, strict=True):
            law[:] = (1 - sure) / (self.vocab - 2)
            law[token] = sure
        laws[:, self.mask] = 0
        return laws.log()


def run(
    name: str,
    net: Any,
    prompt: Sequence[int],
    budget: int,
    block: int | None = None,
    *,
    greedy: bool = True,
    seed: int = 0,
    eos: Sequence[int] = (),
    given: Sequence[int] = (),
    wrap: Callable[[Method], Method] = lambda method: method,
    shape: Sampling | None = None,
    spell: Callable[[Sequence[int]], str] = lambda tokens: " ".join(map(str, tokens)),
    origin: int | None = None,
    stop: Stop | None = None,
    **options: Any,
) -> Record:
    """A method on a net, alone."""
    canvas = Canvas(
        prompt, budget, mask=net.mask, block=block, eos=eos, given=given, origin=origin, stop=stop
    )
    method = wrap(build(name, options, Setting(greedy=greedy, vocab=net.vocab, spell=spell)))
    request = Request(canvas, method, {"target": net}, compose(shape or Sampling()), Chance(seed))
    return play([request])[0]


def runs(record: Record) -> int:
    """Runs of the target."""
    return record.request.runs["target"]

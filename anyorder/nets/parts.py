"""Nets that are parts of another: its first blocks, or its output head for some tokens.

They guess what the whole net says, for less. The first blocks of a lean body share the whole net's cells
(LayerSkip, arXiv:2404.16710): keys and values that they compute are the net's own, and when it runs over
such a cell it goes on from the state that left the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyorder.core.canvas import Canvas
from anyorder.core.types import Answer, Ask, Commit
from anyorder.nets.causal import Body, Causal
from anyorder.nets.feed import Feed
from anyorder.nets.graphs import Static, static, wanted
from anyorder.nets.lean import Lean
from anyorder.nets.load import fewer_words
from anyorder.nets.parallel import Sharded
from anyorder.nets.slots import WHOLE
from anyorder.nets.stock import Stock


class Exit:
    """The first blocks of a net, over the net's own cells.

    `body`: those blocks, the net's last norm and an output head. A request that asks it has the whole net
    among its nets, which follows the text for both.
    """

    def __init__(self, whole: Causal, body: Body, blocks: int):
        """`blocks`: how many; WHOLE: all that the net has."""
        self.whole, self.body, self.blocks = whole, body, blocks
        self.vocab, self.context, self.can = whole.vocab, whole.context, whole.can
        self.cell_bytes = whole.cell_bytes

    def __call__(self, asks: Sequence[tuple[Ask, Canvas]]) -> list[Answer | Exception | None]:
        return self.whole.run(asks, self.body, self.blocks)

    def follow(self, canvas: Canvas, commit: Commit | None) -> None:
        """Nothing: the cells are the whole net's."""

    def forget(self) -> None:
        self.whole.forget()


def first_blocks(whole: Causal, body: Body, blocks: int, most: int) -> Exit:
    """The first so many of a net's `most` blocks. `body`: they alone, of a kind that says what it left."""
    return Exit(whole, body, blocks if blocks < most else WHOLE)


def trimmed(body: Any, words: Sequence[int]) -> Any:
    """The body with an output head of these tokens alone; as it is if there are none."""
    if not words:
        return body
    stock = body.stock if isinstance(body, Static) else body
    keep = torch.tensor(sorted(set(words)), device=getattr(stock, "device", "cpu"))
    if isinstance(body, Lean | Sharded):
        return Trimmed(body.trimmed(keep), keep)
    short = Stock(fewer_words(stock.model, keep))
    return Trimmed(static(short) if wanted(short) else short, keep)


class Trimmed:
    """A body whose output head has the rows of some tokens only (VocabTrim, arXiv:2506.22694). Its laws are
    laws of all tokens, none of the others having a chance."""

    def __init__(self, body: Any, keep: Tensor):
        """`body`: its logits are [M, K], of the tokens `keep` [K], in rising order."""
        self.body, self.keep = body, keep
        self.vocab, self.context, self.cell_bytes = body.vocab, body.context, body.cell_bytes
        self.device = getattr(body, "device", torch.device("cpu"))

    def store(self, slots: int) -> Any:
        return self.body.store(slots)

    def __call__(self, feed: Feed, store: Any) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        logits, hidden, inner = self.body(feed, store)
        return self.spread(logits), hidden, inner

    def spread(self, logits: Tensor) -> Tensor:
        """[M, K] -> [M, V]"""
        whole = logits.new_full((len(logits), self.vocab), -torch.inf)
        whole[:, self.keep] = logits
        return whole

    @property
    def state_bytes(self) -> int:
        return getattr(self.body, "state_bytes", 0)

    @property
    def say(self) -> Any:
        said = getattr(self.body, "say", None)
        return said and (lambda states: self.spread(said(states)))

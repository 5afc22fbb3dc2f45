"""Quantized drafts (ML-SpecQD, Georganas et al. 2025, arXiv:2503.13565): the target in 4 bits guesses.

A run of the 4-bit net reads less than half of the weights' bytes and mostly agrees with the target. It reads
the target's keys and values of the text, and writes its own for its guesses only, which the target's run
replaces. Multi-level: drafters that need no net guess inside the 4-bit net's runs, as in the target's.
"""

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask
from anyorder.drafter import Drafter, Trees
from anyorder.drafters.merged import led
from anyorder.drafters.pooled import Pools
from anyorder.quick import Chain, learned, write
from anyorder.sizes import Counts

CARD = Card(
    name="quantized",
    family="speculative",
    paper="arXiv:2503.13565",
    exact=True,
    kind="point",
    summary="the target's own weights in 4 bits guess a chain, over the target's cache",
    headline="up to 2.7x over bf16 on CPUs, multi-level (from memory)",
    cost="1 target run per commit, up to 17 + 2 * tokens cells; runs of the 4-bit net",
    nets=("target", "quant"),
    options=(
        Option("tokens", 12, "tokens drafted at most", low=1, high=64),
        Option("least", 0.5, "drafting ends when the chance that all guesses hold is less", low=0, high=1),
        Option("drafters", "", "who guesses inside the 4-bit net's runs: drafters that rank, by comma"),
        Option("nodes", 3, "their guesses in a run at most", low=0, high=64),
    ),
    departures=(
        "weights are 4-bit blocks of 32 with a scale and a minimum, not MXFP4",
        "the draft reads the target's cache of the text instead of one of its own, as QuantSpec "
        "(arXiv:2502.10424) does",
        "drafting ends by the margin of the likeliest token over the next, calibrated by counts (ours)",
        "where that margin is small the next likeliest token is guessed beside the likeliest (ours)",
    ),
)  # fmt: skip


def quantized(setting: Setting, tokens: int, least: float, drafters: str, nodes: int) -> Drafter:
    members = [setting.make(name) for name in drafters.split(",") if name.strip()]
    pools = Pools(members, drafters, setting.memory.setdefault(f"{CARD.name} pool", Counts()))
    counts: Counts = setting.memory.setdefault(CARD.name, Counts())
    wrote: WeakKeyDictionary[Canvas, list[Chain]] = WeakKeyDictionary()

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        afters = [pools.fresh(canvas, row).after if members else None for row in canvas.live]
        wrote[canvas] = yield from write(canvas, setting, counts, afters, tokens, least, nodes)
        return tuple(chain.tree(counts, CARD.name) for chain in wrote[canvas])

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Any) -> None:
        pools.learn(canvas, paths)
        for chain, path in zip(wrote.get(canvas, ()), paths):
            learned(counts, chain, path)
        for member, lines in zip(members, seen, strict=True):
            member.learn(canvas, trees, lines, paths)

    return led(members, draft, learn)

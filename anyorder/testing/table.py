"""The exactness table, proven: every kind of draft under every verifier, those that are refused too.

Each cell is a real run, real loop and real rules, on nets of three tokens with trees of two levels, followed
along every outcome with its exact weight. At temperature 0 it is compared with the greedy text, at
temperature 1 with the target's law; the distance is the total variation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request, decode
from anyorder.core.readers import sample
from anyorder.core.types import Flow, Method, Net, Tree
from anyorder.drafter import Drafter
from anyorder.methods.autoregressive.greedy import autoregressive
from anyorder.methods.speculative.reflective import reflecting
from anyorder.methods.speculative.rules import RULES
from anyorder.methods.speculative.speculative import speculative
from anyorder.methods.speculative.typical import rule as typical
from anyorder.testing.drafts import P, Q, drawn, fixed, mixed_law, same_law
from anyorder.testing.oracles import distance, greedy_text, law_of_text
from anyorder.testing.outcomes import enumerate_outcomes

CLOSE = 1e-6  # `match` draws from float32
LENGTH = 2
BUSHY = (-1, -1, 0, 0)  # two siblings, and two below the first
EPSILON, DELTA, SHARE = 0.09, 0.3, 0.3  # the defaults of the cards


def changed(drafter: Drafter, change: Callable[[Tree], Tree]) -> Drafter:
    """A drafter whose trees are not what it says they are."""

    def draft(canvas: Canvas) -> Any:
        trees = yield from drafter.draft(canvas)
        return tuple(change(tree) for tree in trees)

    return replace(drafter, draft=draft)


def likeliest(tree: Tree) -> Tree:
    """What was drawn is replaced by the likeliest token, its law stays."""
    return tree if tree.q is None else replace(tree, token=tuple(tree.q.argmax(-1).tolist()))


def first_laws(tree: Tree) -> Tree:
    """Second siblings carry the law of the first ones."""
    return tree if tree.q is None else replace(tree, q=tree.q[torch.tensor([0, 0, 2, 2])])


DRAFTS = {
    "point": fixed((-1, -1, 0, 0, 1), (1, 0, 2, 1, 0)),
    "chain": drawn((-1, 0), "chain"),
    "iid": drawn(BUSHY, "iid"),
    "distinct": drawn(BUSHY, "distinct"),
}
LIES = {  # mistakes that were made: drafts that are not what they say
    "likeliest token, with a q": changed(drawn((-1,), "chain"), likeliest),
    "distinct, with the q of iid": changed(drawn(BUSHY, "distinct"), first_laws),
}
LOSSY = ("typical", "reflective")
VERIFIERS = (*RULES, *LOSSY)
NETS: tuple[Callable[[], dict[str, Net]], ...] = (
    lambda: {"target": same_law(*P), "draft": same_law(*Q)},
    lambda: {"target": mixed_law(1), "draft": mixed_law(2)},
    lambda: {"target": mixed_law(22), "draft": mixed_law(122)},
)


class Cell(NamedTuple):
    """One kind of draft under one verifier, the worst over all nets."""

    warm: float  # distance from the target's law, at temperature 1
    same: bool  # there, the text of a seed is that of plain sampling with it
    cold: float | None  # distance from the greedy text, at temperature 0; None: the rule there is `greedy`

    @property
    def verdict(self) -> str:
        """What is exact, in the words of `rules.LEGAL`."""
        if self.warm < CLOSE:
            return "text and law" if self.same else "law"
        if self.cold is not None and self.cold < CLOSE:
            return "text"
        return f"off by {self.warm:.3f}"


def judged(drafter: Drafter, verify: str, greedy: bool) -> Method:
    """The method, whether or not it would be refused."""
    setting = Setting(greedy=greedy)
    if verify == "reflective":
        return lambda canvas: reflecting(canvas, drafter, setting, SHARE, lambda row: list(row[-1:]))
    rule = typical(EPSILON, DELTA, greedy) if verify == "typical" else RULES[verify]
    return lambda canvas: speculative(canvas, drafter, rule, setting)


def text(method: Method, nets: Mapping[str, Net], length: int, chance: Any) -> tuple[int, ...]:
    """What the method writes after the prompt [0]."""
    canvas = Canvas([0], length)
    for _ in decode([Request(canvas, method, nets, chance=chance)]):
        pass
    return tuple(canvas.generated())


def cell(kind: str, verify: str) -> Cell:
    drafter = (DRAFTS | LIES)[kind]
    warm, cold, same = [], [], []
    for made in NETS:
        nets = made()
        ways = [judged(drafter, verify, False), judged(drafter, verify, True)]
        found = enumerate_outcomes(partial(text, ways[0], nets, LENGTH))
        warm.append(distance(found, law_of_text(nets["target"], [0], LENGTH)))
        if verify in ("greedy", *LOSSY):
            found = enumerate_outcomes(partial(text, ways[1], nets, LENGTH))
            cold.append(distance(found, {tuple(greedy_text(nets["target"], [0], LENGTH)): 1.0}))
        same += [
            text(ways[0], nets, LENGTH, Chance(seed)) == text(plain, nets, LENGTH, Chance(seed))
            for seed in range(12)
        ]
    return Cell(max(warm), all(same), max(cold, default=None))


def table() -> dict[str, dict[str, Cell]]:
    """Kind of draft, or mistake -> verifier -> cell."""
    kinds = {kind: {verify: cell(kind, verify) for verify in VERIFIERS} for kind in DRAFTS}
    return kinds | {kind: {verify: cell(kind, verify) for verify in RULES} for kind in LIES}


def plain(canvas: Canvas) -> Flow:
    return autoregressive(canvas, sample)


def acceptance(kind: str, verify: str, siblings: int) -> float:
    """Worked example: the probability that one of several siblings is accepted."""
    form = (-1,) * siblings
    drafter = fixed(form, range(siblings)) if kind == "point" else drawn(form, kind)
    nets = {"target": same_law(*P), "draft": same_law(*Q)}

    def accepted(chance: Any) -> bool:
        request = Request(Canvas([0], 1), judged(drafter, verify, False), nets, chance=chance)
        return next(len(event.commit.token[0]) > 1 for event in decode([request]))

    return enumerate_outcomes(accepted, 1 << 20).get(True, 0.0)

"""SmartSpec (Liu et al. 2024, arXiv:2406.14066): how deep to draft, by goodput.

Goodput(k) is the expected tokens of a run over its time if all requests of the batch draft k deep. A request
that drafts gets (1 - a^(k+1)) / (1 - a) tokens, where a is the running rate at which a drafted token holds
once those before it do. A busy machine has no time to give away, so k falls as the batch grows, down to no
drafting at all. Then nothing is learnt, so now and then it is tried again.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Tree
from anyorder.drafter import Drafter, Trees
from anyorder.growth import judged, share_of
from anyorder.trees import fit

CARD = Card(
    name="smartspec",
    family="speculative",
    paper="arXiv:2406.14066",
    exact=True,
    kind="point",
    summary="any drafter, as deep as pays at the present load",
    headline="up to 3.2x lower latency than without speculation across loads",
    cost="1 target run per commit, the cells of the inner drafter's guesses down to the chosen depth",
    options=(
        Option("drafter", "prompt_lookup", "any drafter, with its options"),
        Option("most", 8, "deepest guesses; 0: none", low=0, high=64),
        Option("every", 20, "drafts between two decisions", low=1, high=10000),
        Option("bias", 1.1, "factor on the goodput of not drafting", low=0, high=10),
    ),
    departures=(
        "the paper's k is a chain's length; ours is a tree's depth, with running means of its nodes (ours)",
        "a depth that trees seldom reach gives its tokens as seldom (ours)",
        "a counts tokens that were judged, not all that were proposed: those behind a rejection say nothing",
        "all depths are compared, since measured costs are stairs; the first decrease may not be the peak",
        "decisions are shared by all requests that use the drafter, by its own counts (ours)",
        "no guard on memory, the engine has its own; after an interval without drafts one is made (ours)",
        "a run of a draft net costs its share of the target's layers, or the paper's 4 %",
    ),
)  # fmt: skip

ALPHA, MATCH, STEP = 0.7, 0.5, 0.15  # where the running means start, and the weight of a new value (v0)


def fitted(k: float, batch: int = 1, context: int = 64) -> float:
    """Seconds of a run where none was measured: the paper's fit for 8B (v1), without its negative part."""
    return (4.859e-5 * batch * context + 1.844e-2 * batch * k + 6.9387) / 1000


def tokens(alpha: float, k: int, nodes: Sequence[float] = ()) -> float:
    """(1 - a^(k+1)) / (1 - a), as the sum that it is, so that a may be 1. `nodes`: how many guesses there are
    at depth 1, 2, ...; less than one is a chance of one."""
    there = [min(1.0, n) for n in nodes[:k]] or [1.0] * k
    return 1 + sum(share * alpha**i for i, share in enumerate(there, 1))


def best_depth(
    alpha: float, time: Callable[[int], float], most: int, match: float = 1.0, bias: float = 1.0,
    nodes: Sequence[float] = (),
) -> int:  # fmt: skip
    """The k with the largest goodput; `time(k)` of a run, `match`: how often there is a guess at all,
    `bias`: a factor on k = 0. Of several that are as good the smallest."""
    goodput = [(match * tokens(alpha, k, nodes) + 1 - match) / time(k) for k in range(most + 1)]
    goodput[0] *= bias
    return goodput.index(max(goodput))


@dataclass
class State:
    """What is kept between requests."""

    nodes: list[float]  # of a tree at depth 1, 2, ...: running means
    alpha: float = ALPHA
    match: float = MATCH
    drafts: int = 0
    k: int = 0
    probing: bool = False

    def learn(self, tree: Tree, path: Sequence[int], k: int) -> None:
        self.match += STEP * (bool(tree) - self.match)
        if tree:
            trials, depth = judged(tree, path), tree.depth
            self.alpha += STEP * (sum(rank >= 0 for _, rank in trials) / len(trials) - self.alpha)
            for d in range(k):
                self.nodes[d] += STEP * (depth.count(d + 1) - self.nodes[d])


def smartspec(setting: Setting, drafter: str, most: int, every: int, bias: float) -> Drafter:
    inner = setting.make(drafter)
    share, price = share_of(setting, inner), setting.cost or fitted
    key = f"{CARD.name} {drafter} {most} {setting.greedy}"
    state: State = setting.memory.setdefault(key, State([1.0] * most))
    deep: WeakKeyDictionary[Canvas, int] = WeakKeyDictionary()  # how deep each request's last draft was

    def decide(context: int) -> int:
        batch = max(1, setting.load().requests)

        def time(k: int) -> float:
            cells = 1 + state.match * sum(state.nodes[:k])
            return price(cells, batch, context) + k * share * price(1, batch, context)

        return best_depth(state.alpha, time, most, state.match, bias, state.nodes)

    def depth_now(context: int) -> int:
        if state.probing or state.drafts % every == 0:
            starved = not state.probing and state.drafts > 0 and state.k == 0
            state.k, state.probing = most if starved else decide(context), starved
        state.drafts += 1
        return state.k

    def draft(canvas: Canvas) -> Generator[Ask, Any, Trees]:
        k = deep[canvas] = depth_now(max(len(canvas.rows[row]) for row in canvas.live)) if most else 0
        if k == 0:
            return tuple(Tree() for _ in canvas.live)  # the inner drafter is not even asked
        trees = yield from (inner.upto(k) if inner.upto else inner.draft)(canvas)
        return tuple(fit(tree, k) for tree in trees)

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Sequence[Sequence[int]]) -> None:
        inner.learn(canvas, trees, seen, paths)
        for tree, path in zip(trees, paths, strict=True):
            if deep[canvas]:
                state.learn(tree, path, deep[canvas])

    return replace(inner, draft=draft, learn=learn, upto=None)

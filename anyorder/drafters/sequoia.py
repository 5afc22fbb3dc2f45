"""Sequoia (Chen et al. 2024, arXiv:2402.12374): the static tree with the most expected tokens per second.

Measured is how often the r-th sibling is the accepted one, a_r. The chance that a node becomes text is then
the product of a_r on its path; a tree's expected tokens are 1 and the sum of these, T(n, d). Larger trees
give more tokens and cost more; the size is the one with the most tokens for its time.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from anyorder.card import Card, Option, Setting
from anyorder.core.canvas import Canvas
from anyorder.drafter import Drafter, Trees
from anyorder.growth import Policy, filled, inner_of, judged, share_of, wrapper

CARD = Card(
    name="sequoia",
    family="speculative",
    paper="arXiv:2402.12374",
    exact=True,
    kind="distinct",
    summary="the static tree with the most expected tokens per second, by measured acceptance",
    headline="up to 4.04x for Llama-2-7B on an A100 (from memory)",
    cost="1 target run per commit, up to 1 + nodes cells; a run of the draft net for each level of the tree",
    options=(
        Option("drafter", "early_exit", "who drafts: a drafter of a net, or of ranked tokens, with its "
               "options"),
        Option("nodes", 16, "guesses at most, fewer where the measured cost of a run says so; 0: none",
               low=0, high=768),
        Option("depth", 6, "levels at most", low=1, high=64),
        Option("whole", False, "all `nodes` guesses, whatever they cost"),
        Option("accept", "", "chance that the first, second, ... sibling is accepted, by comma; empty: as "
               "measured"),
        Option("draw", "sampled", "children drawn without replacement, or the likeliest; at temperature 0 "
               "the likeliest", choices=("sampled", "likeliest")),
    ),
    departures=(
        "best-first search instead of the dynamic program; a test holds their values equal",
        "acceptance is a running mean of what is judged instead of a calibration beforehand (ours)",
        "ranked tokens of a drafter without a net fill the tree as well (ours)",
        "a run of a draft net costs its share of the target's layers, or 4 % where that is not known (ours)",
    ),
)  # fmt: skip

START = (0.5, 0.12, 0.06, 0.04, 0.03, 0.02, 0.015, 0.01)  # a_r before anything is measured (ours)
STEP = 0.02  # weight of one more judgement in the running means (ours)
EVERY = 32  # drafts for which a tree is kept (ours)


def best_tree(accept: Sequence[float], nodes: int, depth: int) -> tuple[list[int], list[float]]:
    """Parents and chances of the `nodes` likeliest nodes, the likeliest first, none deeper than `depth`.
    What is below a node, or a younger sibling, is no likelier, so each beginning of the list is a tree, the
    best of its size. `accept`: a_r, falling."""
    parent: list[int] = []
    worth: list[float] = []
    heap = [(-accept[0], 0, -1, 0, 0)] if depth > 0 else []  # -chance, order, parent, rank, level
    while heap and len(parent) < nodes:
        v, _, above, rank, level = heapq.heappop(heap)
        parent.append(above)
        worth.append(-v)
        node = len(parent) - 1
        if rank + 1 < len(accept):
            sibling = v * accept[rank + 1] / accept[rank]
            heapq.heappush(heap, (sibling, 2 * node + 1, above, rank + 1, level))
        if level + 1 < depth:
            heapq.heappush(heap, (v * accept[0], 2 * node, node, 0, level + 1))
    return parent, worth


def fastest(
    accept: Sequence[float], nodes: int, depth: int, cost: Callable[[int], float], draft: float
) -> list[int]:
    """Parents of the tree that maximises T(n, d) / (t_target(n) + d t_draft). `cost`: seconds of a target run
    over so many cells; `draft`: of a draft run."""
    best, form = 1 / cost(1), list[int]()
    for d in range(1, depth + 1):
        parent, worth = best_tree(accept, nodes, d)
        for n, tokens in enumerate(accumulate(worth, initial=1.0)):
            rate = tokens / (cost(1 + n) + d * draft)
            if n and rate > best:
                best, form = rate, parent[:n]
    return form


@dataclass
class Kept:
    """What is kept between requests."""

    accept: list[float] = field(default_factory=lambda: list(START))
    form: Policy | None = None
    drafts: int = 0


def fixed(accept: str) -> list[float]:
    """The acceptance vector of the option. Raises ValueError."""
    try:
        made = [float(a) for a in accept.split(",")]
    except ValueError:
        made = []
    sound = all(0 < a <= 1 for a in made) and sorted(made, reverse=True) == made and sum(made) < 1 + 1e-9
    if not made or not sound:
        raise ValueError(
            f"accept is {accept!r}; allowed are falling chances above 0, by comma, at most 1 in sum"
        )
    return made


def sequoia(
    setting: Setting, drafter: str, nodes: int, depth: int, whole: bool, accept: str, draw: str
) -> Drafter:
    inner = inner_of(setting, drafter, ranks=True)
    key = f"{CARD.name} {drafter} {nodes} {depth} {whole} {draw} {setting.greedy}"
    kept = Kept(fixed(accept)) if accept else setting.memory.setdefault(key, Kept())
    share = share_of(setting, inner)

    def policy() -> Policy:
        if kept.form is None or kept.drafts % EVERY == 0:
            falling = [max(a, 1e-6) for a in accumulate(kept.accept, min)]
            form = best_tree(falling, nodes, depth)[0]
            if setting.cost is not None and not whole:
                price, batch = setting.cost, max(1, setting.load().requests)
                form = fastest(falling, nodes, depth, lambda n: price(n, batch), share * price(1, batch))
            kept.form = filled(form)
        kept.drafts += 1
        return kept.form

    def learn(canvas: Canvas, trees: Trees, seen: Any, paths: Sequence[Sequence[int]]) -> None:
        for tree, path in zip(trees, paths, strict=True):
            for offered, rank in judged(tree, path):
                for r in range(min(offered, len(kept.accept))):
                    kept.accept[r] += STEP * ((r == rank) - kept.accept[r])

    return wrapper(
        setting, inner, policy, most=nodes, draw=draw, kind=CARD.kind, source=CARD.name,
        breadth=len(kept.accept), learn=None if accept else learn,
    )  # fmt: skip

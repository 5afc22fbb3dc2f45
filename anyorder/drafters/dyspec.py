"""DySpec (Xiong et al. 2024, arXiv:2410.11744): the tree grows where the draft net expects to be accepted.

If the target agrees with the draft net, the chance that a place in the tree is reached is the product of the
draft's own chances on the way there: of the tokens above it, and of its elder siblings not being it. The next
node always goes to the likeliest place, so sure texts get deep chains and doubtful ones wide trees.
"""

import heapq
from collections.abc import Generator, Sequence

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.growth import Growing, Policy, inner_of, wrapper

CARD = Card(
    name="dyspec",
    family="speculative",
    paper="arXiv:2410.11744",
    exact=True,
    kind="distinct",
    summary="grows the tree where the draft net itself expects to be accepted",
    headline="68M drafting for Llama-2-7B: 3.15x on C4 at temperature 0, 2.20x at 0.6",
    cost="1 target run per commit, up to 1 + nodes cells; a run of the draft net for each node that has "
         "children (grow=greedy) or each level of the tree (grow=threshold)",
    options=(
        Option("drafter", "early_exit", "whose net drafts: early_exit, draft_model, ... with its options"),
        Option("nodes", 16, "guesses; 0: none", low=0, high=1024),
        Option("grow", "greedy", "node by node, or level by level down to a chance of 1 / nodes",
               choices=("greedy", "threshold")),
        Option("draw", "sampled", "children drawn without replacement, or the likeliest; at temperature 0 "
               "the likeliest", choices=("sampled", "likeliest")),
    ),
    departures=(
        "at temperature 0 children are the likeliest of a draft net that is not one-hot, so a tree grows; "
        "the paper's would be a chain",
        "a draft net that is sure would make the threshold's tree endless: it ends at `nodes` nodes (ours)",
        "a continuation is asked of the draft net only when its place is the likeliest",
    ),
)  # fmt: skip


def greedy(nodes: int) -> Policy:
    """Greedy expansion with a budget."""

    def policy(tree: Growing) -> Generator[Sequence[int], None, None]:
        heap, pushed = [(-1.0, 0, -1)], 0  # -v, first come first, the node whose next child it is about
        while heap and len(tree.token) < nodes:
            v, _, node = heapq.heappop(heap)  # the budget is spent here, before y is known
            if node not in tree.below:
                yield [node]
            taken = tree.child(node)
            for place, worth in ((taken.node, v * taken.share), (node, v * taken.rest)):
                if worth and tree.can(place):  # a child of y: v R(y); y's next sibling: v (1 - R(y))
                    heapq.heappush(heap, (worth, pushed := pushed + 1, place))

    return policy


def threshold(nodes: int) -> Policy:
    """Level by level; a level is one run of the draft net."""
    t = 1 / max(1, nodes)

    def policy(tree: Growing) -> Generator[Sequence[int], None, None]:
        level = {-1: 1.0}  # node -> v, the chance that what follows it is reached
        while level and len(tree.token) < nodes:
            yield list(level)
            below = {}
            for node, v in level.items():
                while v >= t and tree.can(node) and len(tree.token) < nodes:
                    taken = tree.child(node)
                    below[taken.node], v = v * taken.share, v * taken.rest
            level = {node: v for node, v in below.items() if v >= t and tree.can(node)}

    return policy


def dyspec(setting: Setting, drafter: str, nodes: int, grow: str, draw: str) -> Drafter:
    policy = {"greedy": greedy, "threshold": threshold}[grow](nodes)
    inner = inner_of(setting, drafter)
    return wrapper(setting, inner, lambda: policy, most=nodes, draw=draw, kind=CARD.kind, source=CARD.name)

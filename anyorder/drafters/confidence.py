"""Draft while sure (Draft & Verify, Zhang et al. 2023, arXiv:2309.08168): a chain ends at the first doubt.

The draft net's own probability of the token it drafts is a good guess of the token's acceptance. The chain
ends with the first token that has too little of it. That token stays in the draft: to look at a drawn token
and then throw it away would bend the law of the text.
"""

from collections.abc import Generator, Sequence

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.growth import Growing, inner_of, wrapper

CARD = Card(
    name="confidence",
    family="speculative",
    paper="arXiv:2309.08168",
    exact=True,
    kind="point",
    summary="drafts a chain for as long as the draft net is sure",
    cost="1 target run per commit, up to 1 + most cells; a run of the draft net for each guess",
    options=(
        Option("drafter", "early_exit", "whose net drafts: early_exit, draft_model, ... with its options"),
        Option("threshold", 0.4, "the chain ends with the first token that has a smaller probability",
               low=0, high=1),
        Option("most", 12, "tokens drafted at most; 0: none", low=0, high=64),
        Option("draw", "likeliest", "how a token is drafted", choices=("likeliest", "sampled")),
    ),
    departures=(
        "the threshold stands still; the paper moves it to hold a wanted rate of acceptance",
        "the token that ends the chain is judged too, which exactness needs where tokens are drawn",
        "a drafted end of text ends the chain (ours)",
    ),
)  # fmt: skip


def confidence(setting: Setting, drafter: str, threshold: float, most: int, draw: str) -> Drafter:
    def policy(tree: Growing) -> Generator[Sequence[int], None, None]:
        node = -1
        while len(tree.token) < most and tree.can(node):
            yield [node]
            node, share, _ = tree.child(node)
            if share < threshold or tree.token[node] in setting.eos:
                return  # and the token stays

    inner = inner_of(setting, drafter)
    return wrapper(
        setting, inner, lambda: policy, most=most, draw=draw, kind="chain", source=CARD.name, breadth=1
    )

"""SpecDec++ (Huang et al. 2024, arXiv:2405.19715): stop drafting when a rejection has become likely.

If a_i is the chance that drafted token i is accepted once those before it are, 1 - prod a_i is the chance
that at least one of them is rejected. The best rule stops when that passes a threshold. The paper's a_i come
from a head on the draft net's state at token i, which exists only after the run that consumes the token; that
run has produced the next token already, and this one is part of the draft.
"""

from collections.abc import Callable, Generator, Sequence
from math import sqrt

from torch import Tensor

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.growth import Growing, Policy, inner_of, wrapper

CARD = Card(
    name="specdec_pp",
    family="speculative",
    paper="arXiv:2405.19715",
    exact=True,
    kind="point",
    summary="drafts a chain until a rejection in it is likely",
    headline="2.04x Alpaca, 2.26x GSM8K, 2.23x HumanEval (Llama-2-chat 7B for 70B, trained head)",
    cost="1 target run per commit, up to 1 + most cells; a run of the draft net for each guess",
    options=(
        Option("drafter", "early_exit", "whose net drafts: early_exit, draft_model, ... with its options"),
        Option("threshold", 0.7, "stop when the chance of a rejection is larger", low=-1, high=2),
        Option("least", 2, "tokens drafted at least", low=0, high=64),
        Option("most", 20, "tokens drafted at most; 0: none", low=0, high=64),
        Option("draw", "likeliest", "how a token is drafted", choices=("likeliest", "sampled")),
    ),
    departures=(
        "without a trained head a_i is told by the entropy of the law that token i is drafted from, as in "
        "AdaEDL (arXiv:2410.18351), with a factor of ours",
        "the paper's c1, c2 and Delta are in `threshold`",
    ),
)  # fmt: skip

FACTOR = 0.2  # of the entropy, in nats (ours)
Head = Callable[[Tensor, int, Tensor | None], float]  # q_i [V], token i, the net's state at it [D] -> a_i


def by_entropy(law: Tensor, token: int, hidden: Tensor | None) -> float:
    """AdaEDL's lower bound of the chance that a token drawn from the law is accepted: 1 - sqrt(c H)."""
    entropy = float(law.clamp(min=1e-30).log().mul(law).sum().neg())
    return max(0.0, 1.0 - sqrt(FACTOR * max(0.0, entropy)))


def until_doubt(
    threshold: float, least: int, most: int, eos: Sequence[int] = (), head: Head = by_entropy
) -> Policy:
    """The chain that ends when a rejection in it is likely, or the text would."""

    def policy(tree: Growing) -> Generator[Sequence[int], None, None]:
        node, before, accepted = -1, -1, 1.0  # A = prod a_i
        while len(tree.token) < most and tree.can(node):
            yield [node]  # the run that consumes token `node` ...
            if node >= 0:
                accepted *= head(tree.said[before], tree.token[node], tree.hidden.get(node))
            before, node = node, tree.child(node).node  # ... and produces the next, which stays
            doubtful = 1 - accepted > threshold and len(tree.token) >= least
            if doubtful or tree.token[node] in eos:
                return

    return policy


def specdec_pp(setting: Setting, drafter: str, threshold: float, least: int, most: int, draw: str) -> Drafter:
    policy = until_doubt(threshold, least, most, setting.eos)
    inner = inner_of(setting, drafter)
    return wrapper(
        setting, inner, lambda: policy, most=most, draw=draw, kind="chain", source=CARD.name, breadth=1
    )

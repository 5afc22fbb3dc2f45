"""Skipped layers (Draft & Verify, arXiv:2309.08168; SWIFT, arXiv:2410.06916): the target without some of its
blocks guesses a chain.

The net "skip" is the target's other blocks, its last norm and its output head. Which blocks it can best do
without is found once for a model, along texts that the model wrote (`nets.skipping`).
"""

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.drafters.draft_model import chained_drafts

CARD = Card(
    name="skip_layers",
    family="speculative",
    paper="arXiv:2309.08168",
    exact=True,
    kind="point",
    summary="the target without some of its blocks guesses a chain",
    headline="1.3x to 2x (Draft & Verify, from memory)",
    cost="1 target run per commit, 1 + tokens cells; `tokens` runs of the blocks that are left",
    nets=("target", "skip"),
    options=(
        Option("skip", "auto", "blocks left out, by comma, the first is 0; auto: found once and kept"),
        Option("share", 0.1, "of the blocks that auto leaves out", low=0.01, high=0.99),
        Option("tokens", 3, "tokens drafted", low=1, high=64),
        Option("draw", "likeliest", "how a token is drafted; sampled ones go with verify=residual",
               choices=("likeliest", "sampled")),
    ),
    departures=(
        "whole blocks are left out; the papers choose attention and feed-forward parts one by one",
        "the blocks go greedily, by how often the rest agrees along two texts that the model wrote "
        "(ours); the papers search with Bayesian optimisation, Draft & Verify for the shortest time, SWIFT "
        "while it decodes",
        "the draft keeps a cache of its own, as its keys differ from the first block left out",
        "the draft's length is fixed; both papers stop by confidence, which confidence and specdec_pp do",
    ),
)  # fmt: skip


def skip_layers(setting: Setting, skip: str, share: float, tokens: int, draw: str) -> Drafter:
    if skip == "auto" and not setting.trusted:  # it is found by running the target, which others use now
        raise ValueError(
            "option skip is auto, which runs the model; a server takes blocks; write for example 10,11"
        )
    return chained_drafts("skip", tokens, draw == "sampled" and not setting.greedy, CARD.name)

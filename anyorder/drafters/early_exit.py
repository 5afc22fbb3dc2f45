"""Early exit (LayerSkip, arXiv:2404.16710): the target's own first layers guess a chain.

The net "exit" is the target cut after `layer` blocks, with the target's final norm and output head. It works
on the target's own cells: what the draft computed, the target's run goes on from. So a round costs
`tokens` times `layer` blocks and one pass through all of them (`nets.parts`).
"""

from anyorder.card import Card, Option, Setting
from anyorder.drafter import Drafter
from anyorder.drafters.draft_model import chained_drafts

CARD = Card(
    name="early_exit",
    family="speculative",
    paper="arXiv:2404.16710",
    exact=True,
    kind="point",
    summary="the target's own first layers guess a chain",
    headline="2.16x summarization, 1.82x code, on models trained for it",
    cost="1 target run per commit, 1 + tokens cells, which go on from block `layer` where the draft computed "
    "them; `tokens` runs of the first `layer` blocks",
    nets=("target", "exit"),
    options=(
        Option("layer", 8, "blocks the draft runs through", low=1),
        Option("tokens", 3, "tokens drafted", low=1, high=64),
        Option("draw", "likeliest", "how a token is drafted; sampled ones go with verify=residual",
               choices=("likeliest", "sampled")),
    ),
    departures=(
        "models that keep transformers' own computation (on a GPU, or of another shape than Llama's) have a "
        "second cache for the exit",
        "without LayerSkip's training an ordinary checkpoint's early exits are rarely accepted",
    ),
)  # fmt: skip


def early_exit(setting: Setting, layer: int, tokens: int, draw: str) -> Drafter:
    return chained_drafts("exit", tokens, draw == "sampled" and not setting.greedy, CARD.name)

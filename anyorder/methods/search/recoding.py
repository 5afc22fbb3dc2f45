"""Recoding (Ulmer 2021, arXiv:2101.00674): after each token its states are corrected by an error signal.

    g = d signal / d state,  state <- state - step g

The signal is the surprise of the token that came, which can only correct what is said later; or one that
needs no label, the entropy of the law or the surprise of its likeliest token, and then what was said is said
again from the corrected state of the last layer. The net named "recoded" does that (`nets.edited`); the
method itself is any other one, asking that net instead of the target.
"""

from anyorder.card import Card, Option, Setting
from anyorder.core.types import Method
from anyorder.law import asking, writer

LABELLED = ("surprisal", "nll")

CARD = Card(
    name="recoding",
    family="search",
    paper="arXiv:2101.00674",
    exact=False,
    summary="the newest cell's states take a gradient step on the model's surprise or doubt, token by token",
    headline="the error signal falls and an LSTM's perplexity hardly moves",
    cost="0 target runs per token; the recoded net runs twice instead, once of them with gradients",
    nets=("target", "recoded"),
    options=(
        Option("step", 1e-2, "how far a correction goes, the paper's alpha; 0: the frozen model",
               low=0, high=100),
        Option("signal", "surprisal", "what is lowered: p^-p - 1 of the token that came, as the reference "
               "computes it; that of the likeliest token; the law's entropy; -log p of the token that came",
               choices=("surprisal", "argmax", "entropy", "nll")),
        Option("where", "all", "what is corrected: keys and values, what the head reads, or both; the head's "
               "only for signals without a label", choices=("all", "states", "top")),
        Option("then", "", "the method that writes, by its spec; empty: greedy, above temperature 0 sample"),
    ),
    departures=(
        "a transformer hands no state from token to token: for h and c of each LSTM layer stand the newest "
        "cell's key and value of each layer, and for the last h what the head reads (ours)",
        "the entropies of dropout samples and of an ensemble need a model trained with them; the entropy of "
        "the model's own law stands in for both (ours)",
        "a fixed step for all layers; the learned and the predicted ones are trained",
        "step is 0.01 (ours); the reference's for LSTMs are 5 for surprisal and 0.001 for entropies. In "
        "tools/edits.py 0.1 hardly moves perplexity with surprisal, and 1 ruins it with entropy",
        "corrections happen at decoding only; the paper trains with them",
        "p^-p - 1 falls with p below 1/e: there a step makes the token that came less likely; nll is -log p, "
        "which does not (ours)",
        "a gradient that is no number counts as 0, as the reference's documentation says; its code takes 1",
        "the model is loaded a second time in fp32, whatever the target's precision; at step 0 the text is "
        "that of the target in fp32",
    ),
)  # fmt: skip


def recoding(setting: Setting, step: float, signal: str, where: str, then: str) -> Method:
    if where == "top" and signal in LABELLED:
        raise ValueError(
            f"where is top and signal is {signal}, which would tell the head what came; allowed with top are "
            "argmax and entropy; choose one of these, or where=states"
        )
    return asking(writer(setting, then), "recoded")

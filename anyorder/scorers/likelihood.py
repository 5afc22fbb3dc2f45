"""The target's own log-probability of the text, summed or per token: what beam search ranks by."""

from collections.abc import Sequence

from anyorder.card import Card, Option, Setting
from anyorder.errors import UserError
from anyorder.scoring import Prefix, Scorer

CARD = Card(
    name="likelihood",
    family="scorer",
    paper="",
    exact=False,
    summary="the log-probability of the text under the target",
    cost="",
    nets=(),
    options=(Option("mean", False, "per token instead of the sum"),),
)


def known(prefix: Prefix, name: str) -> tuple[float, ...]:
    """Each token's log-probability. Raises UserError where a method does not give them."""
    if len(prefix.logp) != len(prefix.token):
        raise UserError(
            f"{name} got log-probabilities of {len(prefix.logp)} of {len(prefix.token)} tokens; this method "
            "does not give them all; choose another scorer"
        )
    return prefix.logp


def likelihood(setting: Setting, mean: bool) -> Scorer:
    def score(prefixes: Sequence[Prefix]) -> list[float]:
        each = [known(prefix, "likelihood") for prefix in prefixes]
        return [sum(logp) / max(len(logp), 1) if mean else sum(logp) for logp in each]

    return Scorer(score, "likelihood", seconds=float("inf"), bounds=(float("-inf"), 0.0))

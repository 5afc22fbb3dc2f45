"""Drafts by another net: chains from a small one, and from the target's own first layers."""

import pytest

from anyorder.core.chance import Chance
from anyorder.testing import ToyCausal, subject

OPTIONS = [{}, {"tokens": 1}, {"tokens": 2, "draw": "sampled"}]


def run(name, nets, greedy=True, **options):
    given = {"greedy": greedy, "chance": Chance(2)}
    return subject(name, options=options).run([1, 2], 12, nets=nets, **given)


@pytest.mark.parametrize("name, net", [("early_exit", "exit"), ("draft_model", "draft")])
@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_same_net_accepts_every_draft(name, net, tokens):
    """An exit after the last layer drafts what the target says: every run writes 1 + tokens."""
    nets = {"target": ToyCausal(0), net: ToyCausal(0)}
    ways = [(True, {}), (False, {"draw": "sampled", "verify": "residual"})]
    for greedy, options in ways:
        record = run(name, nets, greedy, tokens=tokens, **options)
        assert {len(commit.token[0]) for commit in record.commits} == {1 + tokens}


def test_draft_net_is_fed_one_cell_for_each_guess():
    """The draft net's cache follows the text: catching up costs what was committed since, no more."""
    record = run("draft_model", {"target": ToyCausal(0), "draft": ToyCausal(0, blur=1.0)}, tokens=3)
    fed = [answer.cells for ask, answer in record.answers if ask.net == "draft"]
    assert record.request.runs["draft"] == 3 * len(record.commits)
    assert fed[:3] == [2, 1, 1]
    for i in range(1, len(fed) // 3):
        accepted = len(record.commits[i - 1].token[0]) - 1
        # the last guess was never run, so a chain accepted whole leaves it and the target's own token
        assert fed[3 * i : 3 * i + 3] == [2 if accepted == 3 else 1, 1, 1]

"""SpecDec++: the chain ends when a rejection in it is likely."""

import math
import random

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.specdec_pp import FACTOR, by_entropy, until_doubt
from anyorder.growth import Growing, InOrder, inner_of, wrapper
from anyorder.testing import distance, enumerate_outcomes, law_of_text
from tests.drafts import Q, judged, mixed_law, text_of

OPTIONS = [{}, {"most": 3, "least": 1, "threshold": 0.3, "draw": "sampled"}, {"most": 0}]


def length(threshold, least, most, heads=(1.0, 0.9, 0.8), eos=()):
    """Tokens drafted if the head says these, one after the other; and how many runs that took."""
    said = iter(heads)
    tree, runs = Growing(0, 1, room=99), 0
    for asked in until_doubt(threshold, least, most, eos, lambda law, token, hidden: next(said, 1.0))(tree):
        for node in asked:
            runs += 1
            tree.said[node] = torch.tensor(Q)
            tree.below[node] = InOrder([(len(tree.token), 0.6)])
    return len(tree.token), runs


def test_heads_of_the_card():
    """A = 1 * .9 * .8 = .72 when the fourth token has been produced, and that one stays."""
    assert length(0.27, 0, 9) == (4, 4)
    assert length(0.3, 0, 9) == (9, 9)
    assert length(0.09, 0, 9) == (3, 3)  # A = .9: three tokens are there


@pytest.mark.parametrize("least, most", [(0, 5), (2, 5), (5, 5), (3, 20)])
def test_bounds(least, most):
    assert length(1.0, least, most, heads=[0.0] * 30) == (most, most)
    assert length(-1.0, least, most)[0] == max(1, least)
    assert length(-1.0, 9, 4)[0] == 4


def test_a_drafted_end_of_text_ends_the_chain():
    assert length(1.0, 0, 9, eos=(2,)) == (3, 3)


def test_entropy_as_a_head():
    assert by_entropy(torch.tensor([1.0, 0.0]), 0, None) == pytest.approx(1.0)
    assert by_entropy(torch.tensor([0.5, 0.5]), 0, None) == pytest.approx(1 - math.sqrt(FACTOR * math.log(2)))
    assert by_entropy(torch.full((9000,), 1 / 9000), 0, None) == 0.0


@pytest.mark.parametrize("verify", ["ratio", "match"])
@pytest.mark.parametrize("seed", range(3))
def test_any_head_keeps_the_law(seed, verify):
    def head(law, token, hidden):
        return random.Random(f"{seed} {token} {law.tolist()}").random()

    inner = Drafter(by_row(lambda canvas, row: Tree()), net="draft")
    setting = Setting(greedy=False, vocab=3, make=lambda spec: inner)
    drafter = wrapper(
        setting, inner_of(setting, "x"), lambda: until_doubt(0.6, 1, 3, (), head), most=3, draw="sampled",
        kind="chain", source="",
    )  # fmt: skip
    nets, lengths = {"target": mixed_law(1), "draft": mixed_law(2)}, set()

    def draft(canvas):
        trees = yield from drafter.draft(canvas)
        lengths.add(len(trees[0]))
        return trees

    method = judged(Drafter(draft, kind=drafter.kind), verify)
    found = enumerate_outcomes(text_of(method, nets, 4), most=400_000)
    assert distance(found, law_of_text(nets["target"], [0], 4)) < 1e-6
    assert {2, 3} <= lengths

"""Diverse beam search on laws that can be checked by hand, and against beam search."""

from itertools import pairwise
from math import exp, log

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.diverse_beam import cumulative, hamming, ngram
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, log_probability, play

OPTIONS = [
    {"width": 4, "groups": 2},
    {},
    {"width": 6, "groups": 3, "diversity": "cumulative", "stop": "never"},
    {"width": 4, "groups": 4, "diversity": "ngram", "rank": "raw", "length_penalty": 1.0},
]

PROMPT = [0, 1]
P = (0.5, 0.3, 0.2)


def stationary(p=P):
    return ByText(lambda text: torch.tensor(p, dtype=torch.float64).log())


def search(net, budget, eos=(), name="diverse_beam", **options):
    """Texts and scores in the canvas's order: group by group."""
    canvas = Canvas(PROMPT, budget, eos=eos)
    method = build(name, options, Setting(vocab=net.vocab))
    play([Request(canvas, method, {"target": net})])
    return [(tuple(canvas.generated(h)), canvas.score[h]) for h in range(len(canvas.rows))]


# the card's checks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["full", "bound", "never"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("eos", [(), (3,), (2, 5, 7)])
def test_one_group_is_beam_search(eos, penalty, stop):
    net = ToyCausal(3, 13)
    given = {"width": 4, "length_penalty": penalty, "stop": stop}
    plain = search(net, 7, eos, "beam", **given)
    for diversity in ("hamming", "cumulative", "ngram"):
        assert search(net, 7, eos, groups=1, strength=7.0, diversity=diversity, **given) == plain


def test_without_strength_every_group_is_the_same_beam():
    net = ToyCausal(3, 13)
    for eos in ((), (2, 5, 7)):
        plain = search(net, 7, eos, "beam", width=2, length_penalty=0.0)
        assert search(net, 7, eos, width=6, groups=3, strength=0.0) == plain * 3


def test_the_first_group_does_not_know_the_strength():
    net = ToyCausal(3, 13)
    firsts = [search(net, 7, width=4, groups=2, strength=s) for s in (0.0, 0.5, 9.0)]
    assert firsts[0][:2] == firsts[1][:2] == firsts[2][:2]
    assert firsts[0][2:] != firsts[2][2:]


def test_the_second_group_leaves_the_likeliest_token_at_the_log_of_the_ratio():
    """ln(.5 / .3) = 0.5108."""
    texts = {
        s: [text for text, _ in search(stationary(), 1, width=2, groups=2, strength=s)] for s in (0.5, 0.52)
    }
    assert texts == {0.5: [(0,), (0,)], 0.52: [(0,), (1,)]}


def test_augmented_and_raw_scores():
    for rank, score in (("augmented", -2.386294), ("raw", -1.386294)):
        found = search(stationary(), 2, width=2, groups=2, strength=0.5, rank=rank)
        assert found == [
            ((0, 0), pytest.approx(-1.386294, abs=1e-6)),
            ((0, 0), pytest.approx(score, abs=1e-6)),
        ]


def test_a_beam_for_each_token():
    found = search(stationary(), 1, width=3, groups=3, strength=10.0)
    assert [text for text, _ in found] == [(0,), (1,), (2,)]


# more -------------------------------------------------------------------------------------------------------


def test_a_token_costs_as_often_as_it_was_taken():
    """Both texts of group 1 go on with token 0, so it costs twice in group 2: ln(.5 / .3) < 2 * .3."""

    def law(text):
        p = (0.5, 0.3, 0.2) if len(text) > len(PROMPT) else (0.45, 0.45, 0.1)
        return torch.tensor(p, dtype=torch.float64).log()

    found = search(ByText(law), 2, width=4, groups=2, strength=0.3)
    assert [text for text, _ in found[:2]] == [(0, 0), (1, 0)]
    assert [text[1] for text, _ in found[2:]] == [1, 1]


@pytest.mark.parametrize("diversity", ["hamming", "cumulative", "ngram"])
def test_scores_are_those_of_the_equation(diversity):
    """Computed again from the texts of one-beam groups: log p less strength times Delta, at every token."""
    net = ToyCausal(5, 13)
    given = {"width": 3, "groups": 3, "strength": 0.7, "diversity": diversity}
    augmented, raw = (search(net, 5, rank=rank, **given) for rank in ("augmented", "raw"))
    texts = [text for text, _ in augmented]
    assert texts == [text for text, _ in raw]
    assert len(set(texts)) > 1
    for g, (text, score) in enumerate(augmented):
        cost = 0.0
        for t in range(len(text)):
            earlier = [other[: t + 1] for other in texts[:g]]
            if diversity == "hamming":
                cost += sum(other[t] == text[t] for other in earlier)
            elif diversity == "cumulative":
                cost += sum(exp(-sum(a != b for a, b in zip(other, text[: t + 1]))) for other in earlier)
            elif t:
                pairs = [pair for other in earlier for pair in pairwise(other)]
                cost += pairs.count(text[t - 1 : t + 1])
        assert raw[g][1] == pytest.approx(log_probability(net, PROMPT, text))
        assert score == pytest.approx(raw[g][1] - 0.7 * cost)


def test_what_is_alike():
    beside = [[1, 2, 9], [1, 5, 9], [1, 2, 7]]
    assert hamming([1, 2], beside, beside) == (0.0, {9: 2, 7: 1})
    rest, token = cumulative(2.0)([1, 2], beside, beside)
    assert rest + token[9] == pytest.approx(1 + exp(-1 / 2) + exp(-1 / 2))  # equal; apart before; apart now
    assert rest + token[7] == pytest.approx(exp(-1 / 2) + exp(-2 / 2) + 1)
    assert rest == pytest.approx(2 * exp(-1 / 2) + exp(-2 / 2))
    assert ngram(2)([4, 1], beside, beside) == (0.0, {2: 2, 5: 1})
    assert ngram(3)([4], beside, beside) == (0.0, {})


def test_texts_that_ended_cost_nothing_afterwards():
    """Group 1 ends at once; group 2 then goes on as if alone, and ending beside it costs nothing either."""
    net = stationary((0.2, 0.3, 0.5))
    found = search(net, 3, (2,), width=2, groups=2, strength=0.4)
    assert found == [((2,), pytest.approx(log(0.5)))] * 2


def test_groups_divide_the_width():
    with pytest.raises(ValueError, match="groups that divide the width"):
        build("diverse_beam", {"width": 4, "groups": 3}, Setting(vocab=13))

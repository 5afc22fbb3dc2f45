"""Momentum decoding against the paper's algorithm in loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.methods.search.momentum import History, law, resisted
from anyorder.registry import build
from anyorder.shapers import Sampling, compose
from anyorder.testing import ByText, ToyCausal, greedy_text, play

OPTIONS = [
    {},
    {"then": "prompt_lookup/nodes=8"},
    {"then": "(beam/width=2)", "resistance": "chinese"},
    {"k": 3, "alpha": 0.05, "longest": 2, "resistance": "log", "then": "token_recycling/nodes=8"},
]
PROMPT = [0, 1, 2, 0, 1]
PLAIN = Sampling()
KINDS = ("paper", "chinese", "repository", "log", "exp", "constant")


def text(net, prompt, budget, shape=PLAIN, **options):
    canvas = Canvas(prompt, budget)
    method = build("momentum", options, Setting(vocab=net.vocab))
    play([Request(canvas, method, {"target": net}, compose(shape))])
    return canvas.generated()


def depth(text, path, token, longest=5):
    history = History()
    history.follow(text)
    return history.depth(path, token, longest)


def slow_depth(text, token, longest):
    """The longest piece ending in the token that the text would repeat."""
    whole = [*text, token]
    pieces = [whole[-n:] for n in range(1, min(longest, len(whole)) + 1)]
    found = [p for p in pieces if any(text[i : i + len(p)] == p for i in range(len(text) - len(p) + 1))]
    return max(map(len, found), default=0)


def test_circular_depth():
    one = [1, 2, 3, 7, 8, 2, 3, 7]
    assert [depth(one, (), t) for t in (8, 2, 3, 1, 9)] == [4, 1, 1, 1, 0]
    assert [depth([1, 2, 1, 2], (), t) for t in (1, 2, 3)] == [3, 1, 0]


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 2),
    st.integers(1, 6),
)  # fmt: skip
def test_depth_behind_guesses_is_that_of_the_text(tokens, cut, token, longest):
    found = depth(tokens[:cut], tuple(tokens[cut:]), token, longest)
    assert found == slow_depth(tokens, token, longest)


@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=6))
def test_a_history_follows_any_text(texts):
    history = History()
    for tokens in texts:
        history.follow(tokens)
        places = {t: [i for i, x in enumerate(tokens) if x == t] for t in range(3)}
        assert {t: history.places.get(t, []) for t in range(3)} == places


def test_resistance():
    table = {kind: [resisted(kind, d) for d in range(6)] for kind in KINDS}
    assert table["paper"] == [0, 1, 2, 3, 4, 5]
    assert table["chinese"] == [0, 1, 1, 2, 3, 4]
    assert table["repository"] == [0, 0, 0, 0, 5, math.inf]
    assert table["constant"] == [0, 2, 2, 2, 2, 2]
    assert table["exp"][:3] == [0, 0.75, 1.125]
    assert table["log"][0] == 0
    assert table["log"][5] == pytest.approx(5)
    assert resisted("paper", 6) == math.inf


def test_the_unseen_token_wins():
    """p = .6 for a token of depth 3 and .2 for a new one: .0 against .2."""
    net = ByText(lambda text: torch.tensor([0.6, 0.0, 0.0, 0.2, 0.2]).log())
    assert text(net, [1, 2, 0, 1, 2], 1) == [3]
    assert text(net, [1, 2, 0, 2], 1) == [0], "depth 2: .2 and .2, of which the likelier comes first"


def test_a_likeliest_token_that_is_new_is_written():
    net = ByText(lambda text: torch.tensor([0.3, 0.25, 0.25, 0.2]).log())
    assert text(net, [1, 2, 3], 1) == [0]


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"k": 1}, {"alpha": 0.0, "longest": 9}])
def test_without_resistance_or_choice_it_is_greedy(options):
    net = ToyCausal(2, 13)
    assert text(net, PROMPT, 20, **options) == greedy_text(net, PROMPT, 20)


def slow_text(net, prompt, budget, k, alpha, longest, resistance):
    """The card's three steps, one after the other."""
    tokens = list(prompt)
    for _ in range(budget):
        p = net.plain(tokens).softmax(-1)
        best = p.topk(k)[1].tolist()
        scores = [p[v].item() - alpha * resisted(resistance, slow_depth(tokens, v, longest)) for v in best]
        tokens.append(best[scores.index(max(scores))])
    return tokens[len(prompt) :]


@pytest.mark.parametrize("resistance", KINDS)
@pytest.mark.parametrize("alpha", [0.02, 0.2])
def test_text_is_the_papers(resistance, alpha):
    for seed in range(3):
        net = ToyCausal(seed, 13)
        given = {"k": 4, "alpha": alpha, "longest": 5, "resistance": resistance}
        true = slow_text(net, PROMPT, 25, **given)
        assert text(net, PROMPT, 25, **given) == true
        assert text(net, PROMPT + true[:9], 16, **given) == true[9:], "the prompt is history too"


def test_it_repeats_less_than_greedy():
    net = ToyCausal(2, 13)
    greedy, walked = greedy_text(net, PROMPT, 40), text(net, PROMPT, 40)
    fours = [len({tuple(t[i : i + 4]) for i in range(37)}) for t in (greedy, walked)]
    assert fours[0] < fours[1]


def test_what_is_forbidden_is_no_candidate():
    """All candidates resisted below zero: a banned one, with probability 0 and never seen, is not chosen."""
    net = ByText(lambda text: torch.tensor([0.5, 0.5, 0.0]).log())
    assert 2 not in text(net, [0, 1, 0, 1, 0, 1], 8, k=3)
    net = ToyCausal(0, 13)
    assert 4 in text(net, PROMPT, 30, k=13)
    assert 4 not in text(net, PROMPT, 30, Sampling(banned=(4,)), k=13)


def test_the_law_of_candidates():
    assert law([0.3, -0.1, 0.1]) == pytest.approx([math.log(0.3), -math.inf, math.log(0.1)])
    assert law([-0.3, -0.1, -math.inf]) == [-math.inf, 0.0, -math.inf]

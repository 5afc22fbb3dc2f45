"""Mirostat: the mean surprise of a text comes to tau, and mu can be read off the canvas."""

import math

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, play, restarted

OPTIONS = [{}, {"tau": 1.0, "rate": 1.0}]
PROMPT = [0, 1]


def record(net, budget, seed=0, greedy=False, wrap=lambda method: method, rows=1, **options):
    canvas = Canvas(PROMPT, budget, rows=rows)
    method = wrap(build("mirostat", options, Setting(greedy=greedy, vocab=net.vocab)))
    return play([Request(canvas, method, {"target": net}, chance=Chance(seed))])[0]


def surprises(net, text):
    """Bits of each token under the net."""
    words = [*PROMPT, *text]
    laws = [net.plain(words[:i]).double().log_softmax(-1) for i in range(len(PROMPT), len(words))]
    return [-float(law[t]) / math.log(2) for law, t in zip(laws, text, strict=True)]


def zipf(size, seed=0):
    """A law of `size` tokens like natural text's, in another order behind every token."""

    def law(text):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed + text[-1]))
        return -1.2 * torch.arange(1, size + 1, dtype=torch.float64).log()[order]

    return ByText(law)


@pytest.mark.parametrize("tau", [2.5, 3.0, 4.0])
def test_mean_surprise_comes_to_tau(tau):
    net = zipf(200)
    for seed in range(3):
        (text,) = record(net, 400, seed, tau=tau).texts
        assert sum(surprises(net, text)) / 400 == pytest.approx(tau, abs=0.15)


def test_plain_sampling_has_another_surprise():
    """The test above tells something: without a bound on surprise the same law gives more."""
    net = zipf(200)
    (text,) = record(net, 400, tau=100.0, rate=0.0).texts
    assert sum(surprises(net, text)) / 400 > 4.5


@pytest.mark.parametrize("seed", range(3))
def test_every_step_is_the_algorithms(seed):
    net, tau, rate = ToyCausal(seed, 13), 2.0, 0.7
    found = record(net, 20, seed, tau=tau, rate=rate)
    mu, words = 2 * tau, list(PROMPT)
    for commit in found.commits:
        law = net.plain(words).softmax(-1)
        bits = -law.log2()
        kept = law.masked_fill(bits > max(mu, float(bits.min())), 0)
        token = Chance(seed).pick(kept.log(), 0, len(words))
        mu -= rate * (float(bits[token]) - tau)
        words.append(token)
        assert commit.token == [[token]]
        assert commit.score == pytest.approx((mu,))


def test_restarted_at_every_commit_and_in_rows():
    net = ToyCausal(1, 13)
    for rows in (1, 2):
        one, two = (record(net, 15, 4, wrap=w, rows=rows, rate=1.0) for w in (lambda m: m, restarted))
        assert one.texts == two.texts
        assert one.canvas.score == two.canvas.score
        assert len({tuple(text) for text in one.texts}) == rows, "every row has its own draws"


def test_the_likeliest_token_is_always_left():
    net = ToyCausal(1, 13)
    assert record(net, 12, tau=0.0).texts == [greedy_text(net, PROMPT, 12)]
    assert record(net, 12, greedy=True).texts == [greedy_text(net, PROMPT, 12)]

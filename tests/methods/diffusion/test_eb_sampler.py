"""EB-Sampler: its two ends, its bound by hand, and its orders."""

import numpy as np
import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import run, runs

OPTIONS = [{"gamma": 0.5}, {}, {"gamma": -1.0}, {"gamma": 1.0, "order": "margin"}]

PROMPT = [2, 0, 1]
ORDERS = ["entropy", "confidence", "margin"]


@pytest.mark.parametrize("order", ORDERS)
def test_below_zero_one_cell_a_step(order):
    net = ToyTwoWay(1)
    one = run("static", net, PROMPT, 7, 3, order=order)
    assert one.steps == run("eb_sampler", net, PROMPT, 7, 3, gamma=-1e-9, order=order).steps


@pytest.mark.parametrize("order", ORDERS)
def test_without_bound_one_run_per_block(order):
    assert runs(run("eb_sampler", ToyTwoWay(1), PROMPT, 7, 3, gamma=float("inf"), order=order)) == 3


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gamma", [0, 0.5, 2.0, 4.0, 8.0])
def test_the_longest_beginning_within_the_bound(gamma, order):
    net = ToyTwoWay(2)
    laws = net.plain([*PROMPT, *[net.mask] * 8]).softmax(-1).numpy()[len(PROMPT) :]
    entropy = [-float(sum(p * np.log(p) for p in law if p)) for law in laws]
    two = -np.sort(-laws)[:, :2]
    score = {"entropy": entropy, "confidence": -two[:, 0], "margin": two[:, 1] - two[:, 0]}[order]
    ranked = sorted(range(8), key=lambda i: score[i])
    fits = [n for n in range(1, 9) if n == 1 or _bound(entropy, ranked[:n]) <= gamma]
    first = run("eb_sampler", net, PROMPT, 8, gamma=gamma, order=order).commits[0]
    assert [i - len(PROMPT) for i in first.at[0]] == sorted(ranked[: max(fits)])


def _bound(entropy, some):
    return sum(entropy[i] for i in some) - max(entropy[i] for i in some)

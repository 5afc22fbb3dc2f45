"""CreditDecoding: without weight a threshold; by hand, what a steady token earns."""

from math import exp, log

import pytest

from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run

OPTIONS = [{"threshold": 0.4}, {}, {"alpha": 0.0, "threshold": 0.3}]

PROMPT = [2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("greedy", [True, False])
def test_without_weight_it_is_a_threshold(seed, greedy):
    net = ToyTwoWay(seed)
    one = run("threshold", net, PROMPT, 8, 4, threshold=0.3, greedy=greedy)
    other = run("credit", net, PROMPT, 8, 4, threshold=0.3, alpha=0, greedy=greedy)
    assert one.commits == other.commits


def expected(sure, steps, alpha=0.7, beta=0.8, gamma=0.2, vocab=20):
    """Probability of a steadily likeliest token in a step counted from 1, with its credit."""
    credit = sum(beta**k * sure**gamma for k in range(steps))
    odds = sure / (1 - sure) * exp(alpha * log(1 + credit))
    return odds / (1 + odds)


@pytest.mark.parametrize("sure, threshold", [(0.7, 0.88), (0.6, 0.8), (0.5, 0.74)])
def test_a_steady_token_passes_when_its_credit_is_enough(sure, threshold):
    """All cells say the same in every step: one a step, until all are sure enough."""
    net = Said(lambda cells: [(i, sure) for i in range(len(cells))])
    wait = next(n for n in range(1, 12) if expected(sure, n) >= threshold)
    assert wait > 1
    record = run("credit", net, PROMPT, 12, threshold=threshold)
    assert [len(c.at[0]) for c in record.commits] == [*[1] * (wait - 1), 13 - wait]


def test_a_fickle_token_waits_longer():
    """Cell 1 says something else each step, so its credit is spread; cell 2 is steady."""
    net = Said(lambda cells: [(0, 0.95), (cells.count(19), 0.7), (5, 0.7), (1, 0.1), (1, 0.1)])
    record = run("credit", net, PROMPT, 5, threshold=0.81)
    first, second, *_ = [[i - 3 for i in c.at[0]] for c in record.commits]
    assert expected(0.7, 2) >= 0.81 > expected(0.7, 1)
    assert first == [0]
    assert second == [2]


def test_credit_can_change_the_token():
    """Token 1 led for three steps; when token 2 leads by a little, credit still prefers 1."""

    def says(cells):
        steady = (1, 0.5) if cells.count(19) > 1 else (2, 0.06)
        return [(0, 0.6), (0, 0.6), (0, 0.6), steady]

    assert run("credit", Said(says), PROMPT, 4, threshold=1.1).texts[0][3] == 1
    assert run("threshold", Said(says), PROMPT, 4, threshold=1.1).texts[0][3] == 2


def test_a_block_starts_without_credit():
    net = Said(lambda cells: [(1, 0.7)] * len(cells))
    record = run("credit", net, PROMPT, 8, 4, threshold=0.81)
    assert [len(c.at[0]) for c in record.commits] == [1, 3, 1, 3]

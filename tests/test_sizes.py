"""How many guesses pay: closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.sizes import best_chain, best_prefix


def free(k):
    return 1.0


def dear(k):
    return float(k)


def steps(k):
    return -(-k // 4)  # four cells cost as much as one


def test_guesses_that_cost_nothing_are_all_judged():
    assert best_prefix([0.5, 0.3, 0.1], free) == 3
    assert best_chain(0.5, free, 20) == 20
    assert best_chain(0.0, free, 20) == 0


def test_a_guess_as_dear_as_a_run_never_pays():
    assert best_prefix([0.9, 0.9], dear) == 0
    assert best_chain(1.0, dear, 9) == 0
    assert best_prefix([], dear) == 0


def test_the_step_that_is_paid_for_is_filled():
    assert best_prefix([0.1] * 9, steps) == 3
    assert best_prefix([1.0] * 9, steps) == 3  # 4 tokens for 1, 8 for 2: as good, so the smaller
    assert best_prefix([0.9] * 7, steps) == 3  # 3.7 for 1, 7.3 for 2
    assert best_chain(0.5, steps, 20) == 3


def test_a_dear_guess_may_pay_for_those_after_it():
    """The rate falls before it rises: all sizes are compared, not the first that is worse than the last."""
    prices = [1.0, 2.0, 2.0, 2.0, 2.0]
    assert best_prefix([0.9, 0.9, 0.9, 0.9], lambda k: prices[k - 1]) == 4


@pytest.mark.parametrize("accept", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("slope", [0.01, 0.05, 0.2, 1.0])
def test_a_chain_on_a_linear_cost(accept, slope):
    """cost(k) = 1 + slope (k - 1): one more pays while a^(n + 1) (1 + slope n) > slope (1 + ... + a^n)."""
    n = 0
    while n < 60 and accept ** (n + 1) * (1 + slope * n) > slope * sum(accept**i for i in range(n + 1)):
        n += 1
    assert best_chain(accept, lambda k: 1 + slope * (k - 1), 60) == n


@given(
    st.lists(st.floats(0, 1), max_size=12).map(lambda worth: sorted(worth, reverse=True)),
    st.lists(st.floats(0, 1), min_size=13, max_size=13),
)
def test_no_other_size_is_faster(worth, more):
    prices = [1 + sum(more[:i]) for i in range(13)]

    def rate(n):
        return (1 + sum(worth[:n])) / prices[n]

    best = best_prefix(worth, lambda k: prices[k - 1])
    assert all(rate(best) >= rate(n) * (1 - 1e-12) for n in range(len(worth) + 1))

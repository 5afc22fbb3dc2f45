"""How many guesses pay: closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.card import Load, Setting
from anyorder.sizes import Counts, best_chain, best_prefix, grow, price_of


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


# trees grown by expected gain

LAW = {(): [(0, 0.6), (1, 0.3)], (0,): [(0, 0.5), (1, 0.4)], (1,): [(2, 0.9)], (0, 0): [(3, 0.8)]}


def products(path=(), worth=1.0):
    for token, chance in LAW.get(path, []):
        yield worth * chance
        yield from products((*path, token), worth * chance)


@pytest.mark.parametrize("most", range(8))
def test_a_tree_holds_the_likeliest_paths(most):
    """Free guesses: the n nodes with the largest products of chances, whatever they hang on."""
    grown = grow(lambda path: LAW.get(path, []), lambda k: 1.0, most)
    likeliest = sorted(products(), reverse=True)[:most]
    assert len(grown.token) == len(likeliest)
    assert grown.worth == pytest.approx(1 + sum(likeliest))
    assert all(p < i for i, p in enumerate(grown.parent))


@given(st.floats(0.01, 1.5))
def test_a_tree_is_as_large_as_pays(dear):
    def cost(k):
        return 1 + dear * (k - 1)

    grown = grow(lambda path: LAW.get(path, []), cost, 8)
    likeliest = sorted(products(), reverse=True)
    rates = [(1 + sum(likeliest[:n])) / cost(1 + n) for n in range(len(likeliest) + 1)]
    assert grown.worth / grown.seconds == pytest.approx(max(rates))


def test_others_make_a_guess_dearer():
    """Fifteen others wait for the same run: what pays alone no longer does."""
    cost, law = (lambda k: 1 + 0.1 * k), lambda path: [(0, 0.3)] if not path else []
    assert grow(law, cost, 4).token == [0]
    assert grow(law, cost, 4, share=15).token == []


def test_children_are_worth_no_more_than_their_parent():
    """Two drafters that are both sure cannot both be right."""
    grown = grow(lambda path: [(0, 0.9), (1, 0.8)] if not path else [], lambda k: 1.0, 4)
    assert grown.worth == pytest.approx(2.0)


def test_counts_start_from_a_first_estimate_and_forget():
    counts = Counts()
    assert counts.chance("a", 0.7) == pytest.approx(0.7)
    for _ in range(2000):
        counts.add("a", False)
    assert counts.chance("a", 0.7) < 0.2
    for _ in range(2000):
        counts.add("a", True)
    assert counts.chance("a", 0.7) > 0.9
    assert counts.chance("b", 0.7) == pytest.approx(0.7)


def test_price_in_company():
    """Four requests with eight cells in all: three others take two each."""
    setting = Setting(cost=lambda k, batch=1, context=64: k * batch + context / 1000, load=lambda: Load(4, 8))
    price, others = price_of(setting, 100)
    assert others == 3
    assert price(5) == pytest.approx(6 + 5 + 0.128)
    free, alone = price_of(Setting(), 10)
    assert alone == 0
    assert free(2) / free(1) == pytest.approx(1.08 / 1.04)
    assert price_of(Setting(costs={"quant": lambda k, batch, context: 7.0}), 10, "quant")[0](3) == 7.0

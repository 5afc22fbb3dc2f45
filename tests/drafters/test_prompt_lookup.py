"""Prompt lookup: the reference's example, both tie rules, whole matches, a slow obvious search, and sizes
that the cost of a run tells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.drafters.prompt_lookup import HOLDS, LONGEST, lookup, sizes
from anyorder.registry import build
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{}, {"ngram": 1, "nodes": 2, "tie": "first"}, {"whole": True, "nodes": 3}]

EXAMPLE = [*range(1, 14), 1, 2, 3]


def slow(text, ngram, nodes, tie, whole):
    """Try every suffix, longest first, and every place it stood before."""
    n = len(text)
    for m in range(min(ngram, n - 1), 0, -1):
        starts = [i + m for i in range(n - m) if text[i : i + m] == text[n - m :]]
        starts = [s for s in starts if s + nodes <= n] if whole else starts
        if starts:
            start = starts[0] if tie == "first" else starts[-1]
            return text[start : start + nodes]
    return []


def find(text, ngram=3, nodes=10, tie="recent", whole=False):
    return lookup(np.array(text), ngram, [nodes], tie, whole)


def test_the_card_example():
    assert find(EXAMPLE, tie="first", whole=True) == [*range(4, 14)]
    assert find(EXAMPLE) == [*range(4, 14)]


def test_whole_matches_only():
    """The one match of three tokens runs past the end: the reference has no draft, ours is a shorter one."""
    assert find(EXAMPLE, nodes=14, tie="first", whole=True) == []
    assert find(EXAMPLE, nodes=14, tie="first") == [*range(4, 14), 1, 2, 3]


def test_ties():
    text = [1, 2, 7, 1, 2, 8, 9, 1, 2]
    assert find(text, nodes=1, tie="first") == [7]
    assert find(text, nodes=1, tie="recent") == [8]
    assert find(text, ngram=2, nodes=4, tie="recent", whole=True) == [8, 9, 1, 2]
    assert find(text, ngram=2, nodes=5, tie="recent", whole=True) == [7, 1, 2, 8, 9]


def test_nothing_repeats():
    assert find([1, 2, 3]) == []
    assert find([1]) == []
    assert find([5, 5]) == [5]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=20), st.integers(1, 5), st.integers(1, 6),
    st.sampled_from(["first", "recent"]), st.booleans(),
)  # fmt: skip
def test_equals_the_slow_search(text, ngram, nodes, tie, whole):
    assert find(text, ngram, nodes, tie, whole) == slow(text, ngram, nodes, tie, whole)


# sizes from the cost ----------------------------------------------------------------------------------------


def drafts(cost, prompt, budget=40, **options):
    """Guesses of each run, and the text, on a toy net that repeats itself."""
    net = ToyCausal(0, 5)
    method = build("prompt_lookup", options, Setting(vocab=net.vocab, cost=cost))
    (record,) = play([Request(Canvas(list(prompt), budget), method, {"target": net})])
    assert record.texts == [greedy_text(net, list(prompt), budget)]
    return [len(ask.guess[0]) for ask, _ in record.answers]


def test_sizes_at_both_ends_of_the_cost():
    assert sizes(lambda k: 1.0) == [LONGEST] * len(HOLDS)
    assert sizes(lambda k: float(k)) == [0] * len(HOLDS)


@pytest.mark.parametrize("slope", [0.02, 0.06, 0.2, 0.5])
def test_sizes_on_a_linear_cost(slope):
    """The next token pays while its chance times the cost so far beats the slope times the tokens so far."""
    expected = []
    for m in range(len(HOLDS)):
        n, chance, tokens = 0, HOLDS[m], 1.0
        while n < LONGEST and chance * (1 + slope * n) > slope * tokens:
            n, tokens = n + 1, tokens + chance
            chance *= HOLDS[min(m + n, len(HOLDS) - 1)]
        expected.append(n)
    assert sizes(lambda k: 1 + slope * (k - 1)) == expected == sorted(expected)


def test_longer_matches_are_copied_further():
    text = np.array([*range(20), 99, 18, 19, 98, *range(8)])
    size = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for m in range(1, 9):
        again = np.array([*text[:-8], *range(8 - m, 8)])
        assert lookup(again, 3, size, "first", False) == [*range(8, 8 + m)]  # found by three, told by all
        assert lookup(again, 3, size[:4], "first", False) == [*range(8, 8 + min(m, 4))]
    start = np.array([7, 1, 2, 7, 1, 2])  # what matches goes back to the text's first token
    assert lookup(start, 3, [1] * 12, "recent", False) == [7]


def test_a_match_that_does_not_pay_is_not_drafted():
    assert set(drafts(lambda k: float(k), [1, 2, 3, 1, 2])) == {0}


def test_the_cost_changes_the_sizes_and_not_the_text():
    cheap, dear = (drafts(lambda k, s=s: 1 + s * k, [1, 2, 3, 1, 2]) for s in (0.01, 0.3))
    assert max(cheap) > max(dear)
    assert len(cheap) <= len(dear)


def test_a_size_that_is_given_stands():
    assert drafts(lambda k: 1.0, [1, 2, 3, 1, 2], nodes=2) == drafts(None, [1, 2, 3, 1, 2], nodes=2)
    assert drafts(None, [1, 2, 3, 1, 2]) == drafts(None, [1, 2, 3, 1, 2], nodes=10)
    assert drafts(None, [1, 2, 3, 1, 2]) == drafts(None, [1, 2, 3, 1, 2], nodes=0)

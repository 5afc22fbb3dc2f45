"""Prompt lookup: the reference's example, both tie rules, whole matches, and a slow obvious search."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.drafters.prompt_lookup import lookup

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
    return lookup(np.array(text), ngram, nodes, tie, whole)


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

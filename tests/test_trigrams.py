"""Trigrams that grow: the update rule, copies of the corpus's pairs, bounds; and the search over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.tables import nothing_known, of_tokens
from anyorder.trigrams import LENGTH, WIDTH, Trigrams, drawn, liked, search

SEED = np.uint64(12345)


def learnt(text, table=None, times=1, step=0.04, window=16):
    held = Trigrams(nothing_known() if table is None else table)
    for _ in range(times):
        held.learn(np.array(text), len(text) - 1, window, step, 3.0)
    return held


def weights(held, before, last):
    """Successors of two tokens and their weights."""
    slot = int(np.flatnonzero(held.keys == before << 32 | last)[0])
    found = zip(held.after[slot].tolist(), held.weight[slot].tolist())
    return {token: weight for token, weight in found if token >= 0}


def test_the_update_rule():
    """The card's example: two rounds without growth weigh 0.08, a hundred are capped."""
    assert weights(learnt([5, 6, 7], times=2), 5, 6) == {7: pytest.approx(0.08)}
    assert weights(learnt([5, 6, 7], times=100), 5, 6) == {7: pytest.approx(3.0)}


def test_a_trigram_grows_while_it_is_in_the_window():
    for tokens in range(3, 30):
        held = Trigrams(nothing_known())
        held.learn(np.arange(tokens), 0, 16, 0.04, 3.0)
        assert weights(held, 0, 1) == {2: pytest.approx(0.04 * min(tokens - 2, 14))}


def test_what_the_corpus_says_is_copied_and_grows():
    table = of_tokens([[1, 2, 3], [1, 2, 3], [1, 2, 4], [8, 9, 5]])
    held = learnt([1, 2, 4], table, times=20)
    assert weights(held, 1, 2) == {4: pytest.approx(1 / 3 + 0.8), 3: pytest.approx(2 / 3)}
    assert [token for token, _ in held.following(1, 2)] == [4, 3]
    assert held.following(8, 9) == [(5, 1.0)]  # as in the corpus
    assert held.following(3, 3) == []
    assert table.weight.tolist() == pytest.approx([2 / 3, 1 / 3, 1.0])  # which is only read
    assert sum(share for _, share in held.following(1, 2)) == pytest.approx(1)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=60), st.integers(3, 20))
def test_growing_equals_a_slow_count(text, window):
    slow: dict = {}
    for end in range(len(text)):
        seen = text[max(0, end - window + 1) : end + 1]
        for a, b, c in zip(seen, seen[1:], seen[2:]):
            slow[a, b, c] = min(3.0, slow.get((a, b, c), 0) + 0.04)
    held = Trigrams(nothing_known())
    half = len(text) // 2  # in two parts, the second with the tokens before that are still in its window
    held.learn(np.array(text[:half]), 0, window, 0.04, 3.0)
    first = max(0, half - window + 1)
    held.learn(np.array(text[first:]), half - first, window, 0.04, 3.0)
    for a, b in {(a, b) for a, b, _ in slow}:
        found = weights(held, a, b)
        assert found == pytest.approx({z: w for (x, y, z), w in slow.items() if (x, y) == (a, b)}, abs=1e-4)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_full_pair_gives_up_its_lightest():
    held = Trigrams(nothing_known())
    for token in range(WIDTH + 5):
        for _ in range(2 if token < 3 else 1):
            held.learn(np.array([1, 2, 100 + token]), 2, 16, 0.04, 3.0)
    found = weights(held, 1, 2)
    assert len(found) == WIDTH
    assert {100, 101, 102, 100 + WIDTH + 4} <= set(found)


def test_room_for_many_pairs(monkeypatch):
    held = Trigrams(nothing_known(), slots=16)
    text = np.random.default_rng(0).integers(0, 50000, size=3000)
    for i in range(0, 3000, 100):
        held.learn(text[max(0, i - 15) : i + 100], min(i, 15), 16, 0.04, 3.0)
    assert held.used == 2998
    for i in range(0, 2990, 7):
        assert held.following(int(text[i]), int(text[i + 1])) == [(int(text[i + 2]), 1.0)]
    monkeypatch.setattr("anyorder.trigrams.LARGEST", 1 << 10)
    held.learn(np.array([1, 2, 3]), 0, 16, 0.04, 3.0)
    assert held.used == 1  # all else was forgotten
    assert held.following(int(text[0]), int(text[1])) == []


# the search -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some():
    source = np.random.default_rng(1)
    return Trigrams(of_tokens([source.integers(0, 6, size=400).tolist()]))


@pytest.mark.parametrize("iterations", [1, 2, 7, 150, 400])
def test_visits(some, iterations):
    """The root is visited in every iteration; a node's children together at most as often as it is."""
    token, parent, chance, visits = search(some.view, 1, 2, iterations, SEED)
    assert visits[0] == iterations
    assert parent[0] == -1
    assert (parent[1:] < np.arange(1, len(parent))).all()
    for node in range(len(token)):
        below = parent == node
        assert visits[below].sum() <= visits[node]
        assert chance[below].sum() == pytest.approx(chance[node] if below.any() else 0, abs=1e-5)
    depth = np.zeros(len(token), int)
    for node in range(1, len(token)):
        depth[node] = depth[parent[node]] + 1
    assert depth.max() == (1 if iterations == 1 else LENGTH - 1) or iterations == 2
    assert depth.max() < LENGTH


def test_the_search_knows_the_tables_successors(some):
    token, parent, _, _ = search(some.view, 1, 2, 400, SEED)
    assert set(token[parent == 0].tolist()) == {t for t, _ in some.following(1, 2)}
    for node in np.flatnonzero(parent == 0):
        below = token[parent == node].tolist()
        assert set(below) <= {t for t, _ in some.following(2, int(token[node]))}


def test_heavier_trigrams_are_visited_more():
    table = of_tokens([[1, 2, 3, 4, 5]] * 8 + [[1, 2, 6, 7, 8]] * 2)
    token, parent, _, visits = search(Trigrams(table).view, 1, 2, 150, SEED)
    by = {int(t): int(v) for t, v in zip(token[parent == 0], visits[parent == 0])}
    assert by[3] > 2 * by[6] > 0


def test_one_seed_one_search(some):
    one, two = (search(some.view, 1, 2, 150, SEED) for _ in "ab")
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_nothing_follows():
    token, _, _, visits = search(Trigrams(nothing_known()).view, 1, 2, 150, SEED)
    assert (token.tolist(), visits.tolist()) == ([2], [150])


def test_the_bound():
    """score/visits + (c1 + ln((N + c2 + 1) / c2)) P sqrt(N) / (1 + visits), by hand; unvisited ones first."""
    visits, score = np.array([9, 5, 3, 0]), np.array([0, 30.0, 3.0, 0])
    prior = np.array([0, 0.2, 0.5, 0.1], np.float32)
    bonus = (32 + np.log(18 / 8)) * 3
    bounds = [30 / 5 + bonus * 0.2 / 6, 3 / 3 + bonus * 0.5 / 4]
    assert liked(1, 2, 9, visits, score, prior) == 1 + int(np.argmax(bounds)) == 2
    assert liked(1, 2, 9, visits, score, np.array([0, 0.4, 0.1, 0.1], np.float32)) == 1
    assert liked(1, 3, 9, visits, score, prior) == 3


def test_draws_follow_the_weights():
    weight, state, counts = np.array([3.0, 1.0, 4.0, 9.0], np.float32), SEED, np.zeros(3)
    for _ in range(8000):
        i, state = drawn(weight, 3, np.uint64(state))
        counts[i] += 1
    assert counts / 8000 == pytest.approx([3 / 8, 1 / 8, 4 / 8], abs=0.02)

"""The suffix automaton as a drafter: chains like prompt lookup's, trees by frequency, earlier requests."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.automaton import Kept, Reader
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.drafters.prompt_lookup import LONGEST
from anyorder.drafters.suffix import copied, hold, likeliest
from anyorder.drafters.suffix import suffix as build_drafter
from anyorder.registry import build
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{}, {"shape": "tree"}, {"shape": "tree", "nodes": 3, "keep": False}, {"nodes": 1}]

TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=30)


def run(memory, prompt=(0,), budget=30, cost=None, **options):
    net = ToyCausal(0, 5)
    method = build("suffix", options, Setting(vocab=net.vocab, memory=memory, cost=cost))
    (record,) = play([Request(Canvas(list(prompt), budget), method, {"target": net})])
    assert record.texts == [greedy_text(net, list(prompt), budget)]
    return record


def matched(text, *kept):
    held = Kept()
    for one in kept:
        held.keep(one)
    return Reader(held).match(list(text))


def test_the_latest_place_of_the_longest_match():
    text = [1, 2, 3, 7, 1, 2, 3, 8, 2, 3, 9, 1, 2, 3]
    assert copied(matched(text), 3) == [8, 2, 3]
    assert copied(matched(text), 50) == text[7:]
    assert copied(matched([1, 2, 3]), 5) == [1, 2, 3]  # nothing matched: the empty phrase is everywhere
    assert copied(matched([4, 5], [3, 4, 5, 6]), 5) == [6]  # and no further than that text goes


@given(TEXT)
def test_a_chain_is_the_text_after_the_match(text):
    match = matched(text)
    if match.length:
        assert text[match.end - match.length : match.end] == text[len(text) - match.length :]
        assert copied(match, 4) == text[match.end : match.end + 4]


def test_the_tree_holds_what_followed_most():
    text = [1, 2, 5, 8, 1, 2, 5, 8, 1, 2, 6, 8, 1, 2]
    match = matched(text)
    assert match.length == 3  # 8, 1, 2: after it came 5 and 6, once each
    token, parent, worth = likeliest(match, 3)
    assert (token, parent) == ([5, 6, 8], [-1, -1, 0])
    assert worth == pytest.approx([hold(3) / 2, hold(3) / 2, hold(3) / 2 * hold(4)])


@given(TEXT, TEXT, st.integers(1, 12))
def test_trees_are_prefix_closed_and_likeliest_first(text, kept, nodes):
    match = matched(text, kept)
    if not match.length:
        return
    token, parent, worth = likeliest(match, nodes)
    assert len(token) <= nodes
    assert all(a >= b for a, b in pairwise(worth))
    assert all(p < i and (p < 0 or worth[p] >= worth[i]) for i, p in enumerate(parent))
    assert len({(p, t) for p, t in zip(parent, token)}) == len(token)
    held = match.held.text
    for i in range(len(token)):  # every path stands in the text after the match
        path, node = [], i
        while node >= 0:
            path, node = [token[node], *path], parent[node]
        phrase = text[len(text) - match.length :] + path
        assert any(held[j : j + len(phrase)] == phrase for j in range(len(held)))


def test_earlier_requests_are_matched():
    memory: dict = {}
    first, again = (run(memory, nodes=10, shape="chain") for _ in range(2))
    assert len(again.commits) < len(first.commits)
    alone = [len(run(memory, nodes=10, keep=False).commits) for _ in range(2)]
    assert alone[0] == alone[1] == len(first.commits)


@pytest.mark.parametrize("shape", ["chain", "tree"])
def test_the_cost_tells_the_size(shape):
    def drafts(cost):
        return [len(ask.guess[0]) for ask, _ in run({}, [1, 2, 3, 1, 2], cost=cost, shape=shape).answers]

    assert set(drafts(lambda k: float(k))) == {0}
    assert max(drafts(lambda k: 1.0)) > max(drafts(lambda k: 1 + 0.3 * k))
    assert max(drafts(lambda k: 1.0)) <= LONGEST


def test_rank():
    text = [1, 2, 5, 1, 2, 5, 1, 2, 6, 1, 2]
    drafter = build_drafter(Setting(vocab=9), shape="tree", nodes=4, keep=False)
    after = drafter.rank(Canvas(text, 5), 0)
    assert after(()) == [(5, pytest.approx(hold(2) * 2 / 3)), (6, pytest.approx(hold(2) / 3))]
    assert after((5,)) == [(1, pytest.approx(hold(3)))]
    assert after((8,)) == []
    assert [t for t, _ in after((8, 1))] == [2]  # a path that never stood: what stands of its end


@pytest.mark.quiet
def test_time_of_a_draft():
    """It takes microseconds; here a thousand times as much is allowed."""
    source, text, best = random.Random(0), [], 1.0
    reader = Reader(Kept())
    for _ in range(600):
        text.append(source.choice(text[-30:]) if text and source.random() < 0.7 else source.randrange(5000))
        start = time.perf_counter()
        match = reader.match(text)
        if match.length:
            likeliest(match, 16)
        best = min(best, time.perf_counter() - start)
    assert best < 0.005

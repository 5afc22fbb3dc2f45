"""REST's lookup in a corpus: the longest phrase and its places, the trie against slow counts, sizes."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.drafters.corpus_lookup import DEEPEST, HOLDS, LONGEST, SHORTEST, longest, places, trie
from anyorder.drafters.corpus_lookup import corpus_lookup as build_drafter
from anyorder.errors import UserError
from anyorder.registry import build
from anyorder.tables import of_tokens, save
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{"corpus": "tests/drafters/toy.npz"}, {"corpus": "tests/drafters/toy.npz", "nodes": 1}, {}]

TEXTS = st.lists(st.lists(st.integers(0, 2), max_size=30), min_size=1, max_size=5)
TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=20)


def slow_places(texts, phrase):
    """(text, place after the phrase) wherever it stands."""
    m = len(phrase)
    return [(t, i + m) for t in texts for i in range(len(t) - m + 1) if t[i : i + m] == phrase]


def slow_longest(texts, text):
    lengths = range(min(LONGEST, len(text)), 0, -1)
    return next((m for m in lengths if slow_places(texts, text[len(text) - m :])), 0)


def slow_trie(texts, text, deepest=DEEPEST):
    """Path -> chance of every continuation of the longest phrase."""
    m = slow_longest(texts, text)
    if m < SHORTEST:
        return {}
    found = slow_places(texts, text[len(text) - m :])
    counts = Counter(tuple(t[i : i + n]) for t, i in found for n in range(1, 1 + min(deepest, len(t) - i)))
    return {path: n / (len(found) + 1) * HOLDS ** len(path) for path, n in counts.items()}


def paths(token, parent):
    made = []
    for t, p in zip(token.tolist(), parent.tolist(), strict=True):
        made.append((*(made[p] if p >= 0 else ()), t))
    return made


@given(TEXTS, TEXT)
def test_longest_phrase_and_its_places(texts, text):
    table = of_tokens(texts)
    length, low, high = longest(table.token, table.suffix, np.array(text))
    assert length == slow_longest(texts, text)
    if length:
        assert (low, high) == places(table.token, table.suffix, np.array(text), length)
        assert high - low == len(slow_places(texts, text[len(text) - length :]))
        for place in table.suffix[low:high]:
            assert table.token[place : place + length].tolist() == text[len(text) - length :]


@given(TEXTS, TEXT, st.sampled_from([1, 4, 64]))
def test_the_trie_holds_the_most_frequent_continuations(texts, text, nodes):
    table, true = of_tokens(texts), slow_trie(texts, text)
    token, parent, chance = trie(table.token, table.suffix, np.array(text), nodes, DEEPEST)
    made = dict(zip(paths(token, parent), chance.tolist(), strict=True))
    assert len(made) == len(token) == min(nodes, len(true))
    assert made == pytest.approx({path: true[path] for path in made})
    assert sorted(made.values(), reverse=True) == pytest.approx(sorted(true.values(), reverse=True)[:nodes])
    assert list(made.values()) == sorted(made.values(), reverse=True)


def test_no_phrase_goes_from_one_text_into_the_next():
    table = of_tokens([[5, 1, 2], [3, 4]])
    token, _, _ = trie(table.token, table.suffix, np.array([1, 2]), 8, DEEPEST)
    assert token.tolist() == []


def test_more_successors_than_can_wait():
    """Five thousand tokens follow a phrase: those that fit wait, the frequent one among them or not."""
    table = of_tokens([[1, 2, 10 + i] for i in range(5000)])
    token, parent, _ = trie(table.token, table.suffix, np.array([1, 2]), 64, DEEPEST)
    assert len(set(token.tolist())) == 64
    assert set(parent.tolist()) == {-1}


def run(corpus, memory=None, prompt=(0, 1), budget=30, vocab=5, cost=None, **options):
    net = ToyCausal(0, vocab)
    setting = Setting(vocab=vocab, memory={} if memory is None else memory, cost=cost)
    method = build("corpus_lookup", {"corpus": str(corpus), **options}, setting)
    (record,) = play([Request(Canvas(list(prompt), budget), method, {"target": net})])
    assert record.texts == [greedy_text(net, list(prompt), budget)]
    return record


def test_a_corpus_of_the_models_own_texts(tmp_path):
    """Copied ten tokens at a time, and one of the target's own."""
    text = [0, 1, *greedy_text(ToyCausal(0, 13), [0, 1], 33)]
    save(of_tokens([text]), tmp_path / "t.npz")
    record = run(tmp_path / "t.npz", budget=33, vocab=13, nodes=64)
    assert [len(commit.token[0]) for commit in record.commits] == [11, 11, 11]


def test_a_random_corpus_leaves_greedy_text(tmp_path):
    for seed in range(4):
        save(of_tokens([np.random.default_rng(seed).integers(0, 5, 300).tolist()]), tmp_path / f"{seed}.npz")
        for nodes in (1, 16, 64):
            run(tmp_path / f"{seed}.npz", nodes=nodes)


def test_the_cost_tells_the_size(tmp_path):
    save(of_tokens([np.random.default_rng(0).integers(0, 5, 300).tolist()]), tmp_path / "t.npz")

    def sizes(cost):
        return [len(ask.guess[0]) for ask, _ in run(tmp_path / "t.npz", cost=cost).answers]

    assert set(sizes(lambda k: float(k))) == {0}
    assert max(sizes(lambda k: 1.0)) > max(sizes(lambda k: 1 + 0.2 * k)) > 0


def test_a_model_needs_a_corpus():
    setting = Setting(vocab=5, encode=lambda text: [1])
    with pytest.raises(UserError, match=r"option corpus is empty; .* give --set corpus=FILE"):
        build("corpus_lookup", {}, setting)


def test_a_corpus_is_read_once(tmp_path):
    save(of_tokens([[0, 1, 2]]), tmp_path / "t.npz")
    memory: dict = {}
    for _ in range(2):
        run(tmp_path / "t.npz", memory)
    assert len(memory) == 1


def test_rank(tmp_path):
    save(of_tokens([[1, 2, 3, 5], [1, 2, 3, 6], [1, 2, 4]]), tmp_path / "t.npz")
    drafter = build_drafter(Setting(vocab=9), str(tmp_path / "t.npz"), 4)
    after = drafter.rank(Canvas([8, 1, 2], 5), 0)
    assert after(()) == [(3, pytest.approx(HOLDS * 2 / 4)), (4, pytest.approx(HOLDS / 4))]
    assert sorted(after((3,))) == [(5, pytest.approx(HOLDS / 3)), (6, pytest.approx(HOLDS / 3))]
    assert after((7,)) == []


@pytest.mark.quiet
def test_time_of_a_draft():
    """A draft takes some ten microseconds; here a hundred times as much is allowed."""
    table = of_tokens([np.random.default_rng(0).integers(0, 50, 20000).tolist()])
    best = 1.0
    for i in range(50):
        start = time.perf_counter()
        trie(table.token, table.suffix, table.token[i : i + LONGEST].astype(np.int64), 32, DEEPEST)
        best = min(best, time.perf_counter() - start)
    assert best < 0.005

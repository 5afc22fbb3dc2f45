"""ADED: the card's path, extraction, sizes, what is learnt and kept; greedy's text whatever a table says."""

import time

import numpy as np
import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.drafters.aded import HOLDS, likeliest
from anyorder.drafters.aded import aded as build_drafter
from anyorder.registry import build
from anyorder.tables import of_tokens, save
from anyorder.testing import ToyCausal, greedy_text, play
from anyorder.trigrams import PREFIXES, Trigrams, draft, search

OPTIONS = [{"corpus": "tests/drafters/toy.npz"}, {"nodes": 64, "keep": False}, {"nodes": 1, "iterations": 1}]

SEED = np.uint64(12345)


def table(tmp_path, texts):
    save(of_tokens(texts), tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


def run(memory, prompt=(0, 1), budget=30, vocab=5, cost=None, **options):
    net = ToyCausal(0, vocab)
    method = build("aded", options, Setting(vocab=vocab, memory=memory, cost=cost))
    (record,) = play([Request(Canvas(list(prompt), budget), method, {"target": net})])
    assert record.texts == [greedy_text(net, list(prompt), budget)]
    return record


def guesses(prompt, **options):
    """The first tree on a prompt."""
    return run({}, prompt, 1, 20, **options).answers[0][0].guess[0]


def test_the_card_example(tmp_path):
    """Trigrams that spell a path: three tokens are searched, one is appended."""
    corpus = table(tmp_path, [[1, 2, 3, 4, 5, 6, 7, 8]])
    tree = guesses([1, 2], corpus=corpus, nodes=64)
    assert max((tree.path(i) for i in range(len(tree))), key=len) == [3, 4, 5, 6]


@pytest.mark.parametrize("iterations", [1, 20, 150, 600])
def test_extraction(iterations):
    """The most visited prefixes and their heaviest next tokens: a tree without twins, parents as likely."""
    held = Trigrams(of_tokens([np.random.default_rng(3).integers(0, 9, size=900).tolist()]))
    token, parent, chance = draft(held.view, 1, 2, iterations, SEED)
    found, up, share, visits = search(held.view, 1, 2, iterations, SEED)
    assert len(token) <= 2 * PREFIXES
    assert len(set(zip(parent.tolist(), token.tolist()))) == len(token)
    assert all(p < i and (p < 0 or chance[p] >= chance[i]) for i, p in enumerate(parent))
    paths = []
    for i in range(len(token)):
        paths.append([*(paths[parent[i]] if parent[i] >= 0 else []), int(token[i])])
    most = [v for v in np.sort(visits[1:])[::-1][:PREFIXES] if v]
    for path in paths[: len(most)]:
        after = held.following(*[1, 2, *path][-2:])
        assert not after or [*path, after[0][0]] in paths
    assert len(most) == min(PREFIXES, int((visits[1:] > 0).sum()))
    assert len(found) == len(up) == len(share)


def test_the_likeliest_nodes_are_kept():
    token, parent = np.array([10, 11, 12, 13]), np.array([-1, 0, -1, 2])
    chance = np.array([0.5, 0.1, 0.4, 0.3])
    assert likeliest(token, parent, chance, 3, []).token == (10, 12, 13)
    assert likeliest(token, parent, chance, 3, []).parent == (-1, -1, 1)
    flat, steep = [1.0] * 9, [float(k) for k in range(1, 10)]
    assert likeliest(token, parent, chance, 0, flat).token == (10, 11, 12, 13)
    assert likeliest(token, parent, chance, 0, steep).token == ()


def test_nothing_known_nothing_guessed():
    assert len(guesses([1, 2])) == 0
    assert len(guesses([1])) == 0
    assert guesses([1, 2, 3, 1, 2]).token[0] == 3  # a prompt teaches


def test_a_random_table_leaves_greedy_text(tmp_path):
    for seed in range(4):
        texts = [np.random.default_rng(seed).integers(0, 5, size=300).tolist()]
        for nodes in (1, 16, 64):
            run({}, corpus=table(tmp_path, texts), nodes=nodes)


def test_a_corpus_of_the_models_own_texts(tmp_path):
    """With what the model will write in the corpus, every run commits up to five tokens."""
    text = [0, 1, *greedy_text(ToyCausal(0, 13), [0, 1], 40)]
    record = run({}, budget=40, vocab=13, corpus=table(tmp_path, [text]), nodes=64)
    alone = run({}, budget=40, vocab=13)
    assert len(record.commits) < len(alone.commits)
    assert max(len(commit.token[0]) for commit in record.commits) == 5


def test_keep():
    for keep, fewer in ((True, True), (False, False)):
        memory: dict = {}
        runs = [len(run(memory, vocab=13, keep=keep).commits) for _ in range(2)]
        assert (runs[1] < runs[0]) == fewer


def test_another_corpus_of_the_same_name(tmp_path):
    memory: dict = {}
    run(memory, corpus=table(tmp_path, [[1, 2, 3]]))
    (old,) = (held for name, held in memory.items() if name.startswith("aded"))
    run(memory, corpus=table(tmp_path, [[1, 2, 4, 4, 4]]))
    (new,) = (held for name, held in memory.items() if name.startswith("aded"))
    assert 4 in new.table.token
    assert 4 not in old.table.token


@pytest.mark.parametrize("flat, most", [(1.0, 48), (0.0, 0)])
def test_the_cost_tells_the_size(tmp_path, flat, most):
    corpus = table(tmp_path, [np.random.default_rng(3).integers(0, 9, size=900).tolist()])
    size = len(guesses([1, 2], corpus=corpus, cost=lambda k: flat + (1 - flat) * k))
    assert size <= most
    assert size > 16 or not most


def test_rank(tmp_path):
    corpus = table(tmp_path, [[1, 2, 3, 5], [1, 2, 3, 6], [1, 2, 4]])
    after = build_drafter(Setting(vocab=9), corpus, 4, 0.001, 150, False).rank(Canvas([1, 2], 5), 0)
    assert after(()) == [(3, pytest.approx(HOLDS * 2 / 3)), (4, pytest.approx(HOLDS / 3))]
    assert after((3,)) == [(5, pytest.approx(HOLDS / 2)), (6, pytest.approx(HOLDS / 2))]
    assert after((7,)) == []


@pytest.mark.quiet
def test_time_of_a_draft():
    """A draft takes some ten microseconds; here a hundred times as much is allowed."""
    held = Trigrams(of_tokens([np.random.default_rng(3).integers(0, 60, size=20000).tolist()]))
    best = 1.0
    for i in range(50):
        start = time.perf_counter()
        token, parent, chance = draft(held.view, i, i + 1, 150, SEED)
        likeliest(token, parent, chance, 32, [])
        best = min(best, time.perf_counter() - start)
    assert best < 0.005

"""Token Recycling: the paper's tree, its best case, and what the matrix holds."""

from collections import Counter

import numpy as np
import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Tree
from anyorder.drafters.token_recycling import RANK, K, fill, part, template, worths
from anyorder.registry import build
from anyorder.testing import ByText, ToyCausal, greedy_text, play

OPTIONS = [{}, {"nodes": 1, "keep": False}, {"nodes": 80}]

V = 24


def ring(text):
    """After t comes t + 1, then t + 2, ... in falling likelihood."""
    return -((torch.arange(V) - text[-1] - 1) % V).double()


def run(net, memory, prompt=(0,), budget=12, cost=None, **options):
    setting = Setting(vocab=net.vocab, memory=memory, cost=cost)
    method = build("token_recycling", options, setting)
    return play([Request(Canvas(list(prompt), budget), method, {"target": net})])[0]


def test_template():
    parent, rank = template()
    assert len(parent) == 80
    tree = Tree((0,) * 80, tuple(parent))  # asserts that parents come first
    assert [Counter(tree.depth)[d] for d in range(1, 7)] == [8, 21, 25, 15, 8, 3]
    siblings: dict[int, list[int]] = {}
    for p, r in zip(parent, rank, strict=True):
        siblings.setdefault(p, []).append(r)
    assert all(ranks == list(range(len(ranks))) for ranks in siblings.values())


@pytest.mark.parametrize("nodes", [0, 1, 2, 8, 30, 79, 80])
def test_part_of_the_template(nodes):
    """A part is a tree, holds the likeliest node, and all of it is the template."""
    parent, rank = part(nodes)
    assert len(parent) == nodes
    assert nodes == 0 or (parent[0], rank[0]) == (-1, 0)
    assert all(p < i for i, p in enumerate(parent))
    assert nodes < 80 or (parent, rank) == template()


def test_best_case_commits_seven():
    """After one pass over the cycle, every run with all 80 nodes accepts a path of six and adds one token."""
    memory: dict = {}
    run(ByText(ring), memory, budget=V + 8, nodes=80)
    again = run(ByText(ring), memory, budget=21, nodes=80)
    assert [len(commit.token[0]) for commit in again.commits] == [7, 7, 7]
    assert again.texts[0] == [(i + 1) % V for i in range(21)]


def test_matrix_holds_the_last_answer():
    """After a run M[t] is the top of the last node, breadth first, that carries t."""
    memory: dict = {}
    net = ToyCausal(0, V)
    record = run(net, memory, prompt=(3, 1, 2), budget=14)
    table = np.full((V, K), -1)
    length = 3
    for (ask, answer), commit in zip(record.answers, record.commits, strict=True):
        tree, row = ask.guess[0], record.canvas.rows[0][:length]
        for token, line in zip([row[-1], *tree.token], answer.logits, strict=True):
            table[token] = line.topk(K)[1].tolist()
        assert table[row[-1]][0] >= 0
        length += len(commit.token[0])
    assert (memory["token_recycling"] == table).all()


def test_random_matrix_leaves_greedy_text():
    net = ToyCausal(0, V)
    true = greedy_text(net, [5], 14)
    for seed in range(8):
        noise = np.random.default_rng(seed).integers(-1, V, size=(V, K)).astype(np.int32)
        for nodes in (1, 8, 80):
            assert run(net, {"token_recycling": noise.copy()}, [5], 14, nodes=nodes).texts == [true]


def test_unknown_successors_are_left_out():
    matrix = np.full((V, K), -1)
    matrix[0, :2] = [3, 4]
    tree = fill(matrix, 0, *part(80))
    assert (tree.token, tree.parent) == ((3, 4), (-1, -1))


def test_vocabulary_smaller_than_a_row_of_the_matrix():
    """Fewer tokens than the eight successors kept: the matrix is as wide as the vocabulary."""
    memory: dict = {}
    net = ToyCausal(0, 3)
    assert run(net, memory, [1], 9, nodes=80).texts == [greedy_text(net, [1], 9)]
    assert memory["token_recycling"].shape == (3, 3)


def test_matrix_file(tmp_path):
    file = tmp_path / "matrix.npy"
    net = ByText(ring)
    first = run(net, {}, budget=V, matrix=str(file))
    again = run(net, {}, budget=V, matrix=str(file))
    assert len(again.commits) < len(first.commits)
    np.save(file, np.zeros((2, K), dtype=np.int32))
    with pytest.raises(
        ValueError, match=r"matrix .* is \(2, 8\); this model needs \(24, 8\); name another file"
    ):
        run(net, {}, matrix=str(file))


def test_keep():
    for keep, fewer in ((True, True), (False, False)):
        memory: dict = {}
        sizes = [len(run(ByText(ring), memory, budget=V, keep=keep).commits) for _ in range(2)]
        assert (sizes[1] < sizes[0]) == fewer


# sizes from the cost ----------------------------------------------------------------------------------------


def test_worths():
    parent, rank = template()
    worth = worths(parent, rank)
    assert worth[:3] == list(RANK[:3])
    assert all(w == (worth[p] if p >= 0 else 1) * RANK[r] for w, p, r in zip(worth, parent, rank))


def sizes(cost, **options):
    """Guesses of each run once the matrix is full, greedy's text assured."""
    memory: dict = {}
    net = ByText(ring)
    for _ in range(2):
        record = run(net, memory, budget=V + 8, cost=cost, **options)
        assert record.texts == [greedy_text(net, [0], V + 8)]
    return {len(ask.guess[0]) for ask, _ in record.answers}


@pytest.mark.parametrize("slope", [0.001, 0.02, 0.06, 0.2])
def test_the_tree_is_as_large_as_pays(slope):
    """On a linear cost: nodes are added while the next one's worth beats the slope's share of a token."""
    worth, n = sorted(worths(*template()), reverse=True), 0
    while n < 80 and worth[n] * (1 + slope * n) > slope * (1 + sum(worth[:n])):
        n += 1
    assert sizes(lambda k: 1 + slope * (k - 1)) == {n}


def test_both_ends_of_the_cost():
    assert sizes(lambda k: 1.0) == {80}
    assert sizes(lambda k: float(k)) == {0}


def test_a_size_that_is_given_stands():
    assert sizes(lambda k: 1.0, nodes=5) == {5}
    assert sizes(None) == sizes(None, nodes=0) == {8}

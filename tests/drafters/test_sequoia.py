"""Sequoia: the best static tree, by measured acceptance and the cost of a run."""

import random
from functools import cache

import pytest

from anyorder.card import Load, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.sequoia import EVERY, START, best_tree, fastest, sequoia
from anyorder.testing import ToyCausal, enumerate_outcomes, subject
from tests.drafts import P, Q, first_commit, judged, same_law

OPTIONS = [
    {"nodes": 3},
    {"nodes": 3, "depth": 1, "accept": "0.4,0.3,0.2"},
    {"draw": "likeliest"},
    {"nodes": 0},
]
NET = Drafter(by_row(lambda canvas, row: Tree()), net="draft")
TABLE = Drafter(
    by_row(lambda canvas, row: Tree()), rank=lambda canvas, row: lambda path: [(t, 0.1) for t in range(9)]
)


def made(inner=NET, cost=None, memory=None, load=Load, greedy=False, **options):
    setting = Setting(
        greedy=greedy, vocab=3, cost=cost, memory={} if memory is None else memory, load=load,
        make=lambda spec: inner,
    )  # fmt: skip
    given = {"drafter": "x", "nodes": 16, "depth": 6, "whole": False, "accept": "", "draw": "sampled"}
    return sequoia(setting, **given | options)


def expected(accept, parent):
    """1 + the sum of the path products of a tree: its T."""
    worth, elder = [], []
    for i, p in enumerate(parent):
        elder.append(sum(parent[j] == p for j in range(i)))
        worth.append((worth[p] if p >= 0 else 1.0) * accept[elder[i]])
    return 1 + sum(worth)


def by_program(accept, n, depth):
    """The paper's program: T(n, d) = 1 + max over n_1 + ... + n_b = n - 1 of sum a_r T(n_r, d - 1)."""

    @cache
    def tree(n, d):
        return 0.0 if n == 0 else 1.0 + (split(n - 1, 0, d - 1) if d > 0 else 0.0)

    @cache
    def split(n, r, d):
        if n == 0 or r == len(accept):
            return 0.0
        return max(accept[r] * tree(k, d) + split(n - k, r + 1, d) for k in range(n + 1))

    return tree(n, depth)


def test_trees_of_the_card():
    """a = (.6, .2): with 3 nodes, the root one of them, the chain's 1.96 beats the star's 1.80; with 4, 2.176
    beats 2.16."""
    a = (0.6, 0.2)
    assert best_tree(a, 2, 9)[0] == [-1, 0]
    assert expected(a, [-1, 0]) == pytest.approx(1.96)
    assert expected(a, [-1, -1]) == pytest.approx(1.80)
    parent, worth = best_tree(a, 3, 9)
    assert 1 + sum(worth) == pytest.approx(2.176) == pytest.approx(expected(a, parent))
    assert expected(a, [-1, 0, -1]) == pytest.approx(2.16)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("siblings", [1, 2, 4])
def test_best_first_is_the_dynamic_program(depth, siblings):
    draw = random.Random(f"{depth} {siblings}")
    for _ in range(10):
        accept = sorted((draw.random() / siblings for _ in range(siblings)), reverse=True)
        for nodes in range(14):
            parent, worth = best_tree(accept, nodes, depth)
            assert 1 + sum(worth) == pytest.approx(by_program(tuple(accept), 1 + nodes, depth))
            assert 1 + sum(worth) == pytest.approx(expected(accept, parent))
            tree = Tree((0,) * len(parent), tuple(parent))  # parents come first
            assert max((0, *tree.depth)) <= depth
            assert len(tree.children().get(-1, ())) <= siblings


@pytest.mark.parametrize("slope", [0.0, 0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("draft", [0.0, 0.05, 0.5])
def test_fastest_of_all_sizes(slope, draft):
    def cost(n):
        return 1 + slope * (n - 1)

    a = (0.6, 0.2, 0.1)
    form = fastest(a, 10, 5, cost, draft)
    depth = max((0, *Tree((0,) * len(form), tuple(form)).depth))
    found = expected(a, form) / (cost(1 + len(form)) + depth * draft)
    every = [by_program(a, n, d) / (cost(n) + d * draft) for d in range(6) for n in range(1, 12)]
    assert found == pytest.approx(max(every))
    if slope == draft == 0:
        assert len(form) == 10
    if slope == 2.0:  # a guess costs two runs
        assert form == []


def drafted(drafter, rounds=1):
    for _ in range(rounds):
        flow = drafter.draft(Canvas([0], 99))
        with pytest.raises(StopIteration) as done:
            next(flow)
    return done.value.value[0]


def test_size_follows_cost_and_load():
    """Over ranked tokens, which cost no run: dearer cells, smaller trees; `whole` takes them all."""

    def cost(k, batch=1, context=64):
        return 1 + 0.01 * k * batch

    assert len(drafted(made(TABLE))) == 16
    sizes = [len(drafted(made(TABLE, cost, load=lambda n=n: Load(n, n), nodes=64))) for n in (1, 8, 64, 512)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2] >= sizes[3]
    assert len(drafted(made(TABLE, lambda k, batch=1, context=64: float(k)))) == 0
    assert len(drafted(made(TABLE, lambda k, batch=1, context=64: float(k), whole=True))) == 16
    assert made(TABLE).kind == "point"


def test_acceptance_is_learnt_and_kept():
    """The second sibling holds every time: the tree grows there once it is planned again."""
    memory = {}
    drafter = made(TABLE, memory=memory)
    first = drafted(drafter)
    tree = Tree((0, 1, 1), (-1, -1, 1))
    for _ in range(200):
        drafter.learn(Canvas([0], 9), (tree,), None, [[1, 1, 2]])
    (kept,) = memory.values()
    assert kept.accept[0] == pytest.approx(0.5, abs=0.02)  # each time one of two judgements
    assert kept.accept[1] == pytest.approx(1.0, abs=0.02)  # wherever there was a second
    assert kept.accept[2:] == list(START[2:])  # a third sibling was never offered
    assert drafted(drafter, EVERY - 1) == first
    assert drafted(drafter) != first
    assert drafted(made(TABLE, memory=memory)) == drafted(drafter)  # another request of the same model
    fixed = made(TABLE, memory=memory, accept="0.5,0.1")
    fixed.learn(Canvas([0], 9), (tree,), None, [[1, 1, 2]])
    assert len(memory) == 1
    assert drafted(fixed).children()[-1] == [0, 1]  # a_1 > a_2 > 0: both siblings


def test_the_same_net_becomes_a_chain():
    """When the first sibling always holds, a_1 rises and every run writes a whole path."""
    nets = {"target": ToyCausal(0), "exit": ToyCausal(0)}
    record = subject("sequoia", options={"nodes": 6, "depth": 6}).run([1, 2], 230, nets=nets)
    tree = [ask.guess[0] for ask, _ in record.answers if ask.net == "target"][-3]
    first = next(ask.guess[0] for ask, _ in record.answers if ask.net == "target")
    assert max(tree.depth) > max(first.depth)


@pytest.mark.parametrize("nodes, accepted", [(1, 0.7), (2, 0.775), (3, 1.0)])
def test_siblings_without_replacement(nodes, accepted):
    """The worked example's table: a star of one, two and three siblings."""
    nets = {"target": same_law(*P), "draft": same_law(*Q)}
    drafter = made(nodes=nodes, depth=1, accept="0.4,0.3,0.2")
    found = enumerate_outcomes(first_commit(judged(drafter, "residual"), nets, 2))
    assert sum(w for path, w in found.items() if len(path) > 1) == pytest.approx(accepted, abs=1e-9)
    law = dict.fromkeys(range(3), 0.0)
    for path, weight in found.items():
        law[path[0]] += weight
    assert list(law.values()) == pytest.approx(P, abs=1e-9)


def test_a_sure_net_gives_a_chain():
    """A one-hot law has one child: places of other siblings stay empty, and T = 0 is greedy match."""
    nets = {"target": same_law(*P), "draft": same_law(1, 0, 0)}
    found = enumerate_outcomes(first_commit(judged(made(nodes=3, depth=1), "residual"), nets, 2))
    assert sum(w for path, w in found.items() if len(path) > 1) == pytest.approx(P[0])


@pytest.mark.parametrize("accept", ["x", "0.1,0.5", "0.9,0.8", "0", "-1", "nan", "0.5,,0.1"])
def test_bad_acceptance(accept):
    with pytest.raises(ValueError, match=r"accept is .*; allowed are falling chances"):
        made(accept=accept)

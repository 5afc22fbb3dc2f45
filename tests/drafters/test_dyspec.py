"""DySpec: the tree grows at its likeliest place, and what is drawn there stays."""

from itertools import pairwise

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.chance import Chance
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.dyspec import dyspec, greedy, threshold
from anyorder.growth import Growing, InOrder, Urn
from anyorder.testing import ToyCausal, distance, enumerate_outcomes, law_of_text, subject
from tests.drafts import P, Q, first_commit, judged, mixed_law, same_law, text_of

OPTIONS = [{"nodes": 3}, {"nodes": 4, "grow": "threshold"}, {"nodes": 3, "draw": "likeliest"}, {"nodes": 0}]
INNER = Drafter(by_row(lambda canvas, row: Tree()), net="draft")


def made(nodes, grow="greedy", draw="sampled", is_greedy=False):
    setting = Setting(greedy=is_greedy, vocab=3, make=lambda spec: INNER)
    return dyspec(setting, drafter="x", nodes=nodes, grow=grow, draw=draw)


def grow(policy, seed=None):
    """The tree over a draft net that always says Q, drawn, or (seed None) the likeliest. Second: the sum of
    the heap whenever a continuation was asked for."""
    tree, sums = Growing(0, 1, room=99, chance=seed if seed is None else Chance(seed)), []
    flow = policy(tree)
    for asked in flow:
        local = flow.gi_frame.f_locals
        if "heap" in local:
            sums.append(-sum(entry[0] for entry in local["heap"]) - local["v"])
        for node in asked:
            law = torch.tensor(Q, dtype=torch.float64)
            tree.below[node] = InOrder(list(enumerate(Q))) if seed is None else Urn(law)
    return tree, sums


def values(tree):
    """v of each node, from the tokens alone: the chance that it is reached if the target says Q."""
    reach, out = {-1: 1.0}, []
    for node, (token, parent) in enumerate(zip(tree.token, tree.parent, strict=True)):
        elder = sum(Q[tree.token[i]] for i in range(node) if tree.parent[i] == parent)
        out.append(reach[parent] * (1 - elder))
        reach[node] = reach[parent] * Q[token]
    return out


def test_order_of_the_worked_example():
    """a (1.0), aa (.6), b (.4), aaa (.36), ba (.30)... q = (.6, .3, .1) after every text."""
    tree, _ = grow(greedy(5))
    spelled = tree.tree("")
    assert [spelled.path(i) for i in range(5)] == [[0], [0, 0], [1], [0, 0, 0], [1, 0]]
    assert values(tree) == pytest.approx([1.0, 0.6, 0.4, 0.36, 0.30])


@pytest.mark.parametrize("seed", range(8))
def test_values_fall_and_sum_to_one(seed):
    tree, sums = grow(greedy(24), seed)
    found = values(tree)
    assert all(a >= b - 1e-12 for a, b in pairwise(found))
    assert len(sums) > 3
    assert sums == pytest.approx([1.0] * len(sums))
    assert len(tree.token) == 24


@pytest.mark.parametrize("nodes", [1, 3, 8, 20])
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_threshold_keeps_what_is_above_it(nodes, seed):
    tree, _ = grow(threshold(nodes), seed)
    assert 1 <= len(tree.token) <= nodes
    assert min(values(tree)) >= 1 / nodes
    if len(tree.token) < nodes:  # then nothing above it was left out
        whole, _ = grow(greedy(nodes), seed) if seed is None else (tree, None)
        assert sum(v >= 1 / nodes for v in values(whole)) == len(tree.token)


def test_runs_of_the_draft_net():
    """By levels: one for each level. Greedy: one for each node with children, one cell each."""
    nets = {"target": ToyCausal(0), "exit": ToyCausal(0, blur=0.5)}
    for how in ("threshold", "greedy"):
        record = subject("dyspec", options={"nodes": 8, "grow": how}).run([1, 2], 14, nets=nets)
        trees, runs, asked = [], [], 0
        for ask, _ in record.answers:
            if ask.net == "exit":
                asked += 1
            else:
                trees.append(ask.guess[0])
                runs.append(asked)
                asked = 0
        depth = [max((0, *tree.depth)) for tree in trees]
        parents = [len(set(tree.parent)) for tree in trees]
        assert runs == (depth if how == "threshold" else parents)
        assert max(parents) > max(depth)
    fed = [answer.cells for ask, answer in record.answers if ask.net == "exit" and ask.guess[0]]
    assert set(fed) == {1}


@pytest.mark.parametrize("how", ["greedy", "threshold"])
@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("verify", ["residual", "match"])
def test_law(how, nodes, verify):
    nets = {"target": mixed_law(1), "draft": mixed_law(2)}
    found = enumerate_outcomes(text_of(judged(made(nodes, how), verify), nets, 2))
    close = 1e-6 if verify == "match" else 1e-12
    assert distance(found, law_of_text(nets["target"], [0], 2)) < close


def test_siblings_judged_by_the_first_ones_law_are_off():
    """The second sibling's q is what was left when it was drawn; q itself gives another law."""
    right = made(3, "threshold")

    def draft(canvas):
        (tree,) = yield from right.draft(canvas)
        if tree.q is None:
            return (tree,)
        return (Tree(tree.token, tree.parent, torch.tensor(Q, dtype=torch.float64).repeat(len(tree), 1)),)

    p = (0.2, 0.4, 0.4)  # two tokens are still owed after a rejection, so it matters which is taken
    nets = {"target": same_law(*p), "draft": same_law(*Q)}
    law = []
    for drafter in (right, Drafter(draft, kind="distinct")):
        first = dict.fromkeys(range(3), 0.0)
        for path, weight in enumerate_outcomes(first_commit(judged(drafter, "residual"), nets, 2)).items():
            first[path[0]] += weight
        law.append(first)
    assert distance(law[0], dict(enumerate(p))) < 1e-12
    assert distance(law[1], dict(enumerate(p))) > 0.01


def test_kind():
    """At temperature 0, and when asked for the likeliest, the guesses are fixed by the text."""
    assert (made(3).kind, made(3).verify) == ("distinct", "residual")
    assert (made(3, draw="likeliest").kind, made(3, is_greedy=True).kind) == ("point", "point")


def test_acceptance_of_the_worked_example():
    """One node: sum of min(p, q) = .7. A sure draft net is drafted as a chain."""
    nets = {"target": same_law(*P), "draft": same_law(*Q)}
    found = enumerate_outcomes(first_commit(judged(made(1), "residual"), nets, 2))
    assert sum(w for path, w in found.items() if len(path) > 1) == pytest.approx(0.7)
    one = {"target": same_law(*P), "draft": same_law(1, 0, 0)}
    record = subject("dyspec", options={"nodes": 4}).run(
        [0], 9, nets={"target": one["target"], "exit": one["draft"]}, vocab=3
    )
    first = next(ask.guess[0] for ask, _ in record.answers if ask.net == "target")
    assert (first.token, first.parent) == ((0, 0, 0, 0), (-1, 0, 1, 2))

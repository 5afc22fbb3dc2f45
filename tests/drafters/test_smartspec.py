"""SmartSpec: any drafter, as deep as pays."""

import numpy as np
import pytest

from anyorder.card import Load, Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree, chain
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.merged import merged
from anyorder.drafters.smartspec import ALPHA, MATCH, best_depth, fitted, smartspec, tokens
from anyorder.testing import ToyCausal, subject

OPTIONS = [
    {},
    {"drafter": "early_exit/draw=sampled", "most": 2},
    {"drafter": "dyspec/drafter=(early_exit/layer=2)/nodes=3", "most": 2, "every": 1},
    {"drafter": "merged", "every": 2},
    {"most": 0},
]


def toy(batch):
    """The card's cost of a run, in ms: T = 10 + .05 B (k + 1) + k."""
    return lambda k: 10 + 0.05 * batch * (k + 1) + k


@pytest.mark.parametrize("batch, depth, goodput", [(1, 4, 0.1946), (32, 3, 4.178), (256, 1, 11.89)])
def test_toy_cost_of_the_card(batch, depth, goodput):
    assert best_depth(0.7, toy(batch), 8) == depth
    assert batch * tokens(0.7, depth) / toy(batch)(depth) == pytest.approx(goodput, rel=2e-3)


def test_tokens():
    assert tokens(1.0, 5) == 6  # no division by zero
    assert tokens(0.0, 5) == 1
    assert tokens(0.8, 4) == pytest.approx(3.3616)


def test_falls_with_the_batch_and_rises_with_acceptance():
    depths = [
        [best_depth(a, toy(b), 12) for b in (1, 4, 16, 64, 256, 1024)] for a in (0.1, 0.5, 0.7, 0.9, 0.99)
    ]
    for row in depths:
        assert row == sorted(row, reverse=True)
    for column in zip(*depths, strict=True):
        assert list(column) == sorted(column)
    assert depths[0][-1] == 0
    assert depths[-1][0] == 12


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("batch", [1, 8, 100, 700])
def test_all_depths_are_as_good_as_the_first_decrease_on_a_linear_cost(alpha, batch):
    goodput = [tokens(alpha, k) / toy(batch)(k) for k in range(13)]
    k = next((k for k in range(12) if goodput[k + 1] <= goodput[k]), 12)
    assert best_depth(alpha, toy(batch), 12) == k


def test_bias_and_matches():
    assert best_depth(0.7, toy(256), 8, bias=1.1) == 0  # 11.89 against 1.1 * 11.23
    assert best_depth(0.7, toy(1), 8, match=0.0) == 0
    assert best_depth(0.7, lambda k: 1.0, 8) == 8


def inner(depth=4, calls=None, learnt=None, upto=False):
    """A drafter that counts its calls and writes down what it learns from."""

    def guess(canvas, row):
        if calls is not None:
            calls.append(len(canvas.rows[row]))
        return chain(range(depth))

    def learn(canvas, trees, seen, paths):
        if learnt is not None:
            learnt.append(trees)

    def shorter(k):
        return by_row(lambda canvas, row: chain(range(min(k, depth)), source="short"))

    return Drafter(by_row(guess), learn=learn, upto=shorter if upto else None)


def made(drafter, cost=None, load=Load, memory=None, **options):
    setting = Setting(
        cost=cost, load=load, memory={} if memory is None else memory, make=lambda spec: drafter
    )
    return smartspec(setting, **{"drafter": "x", "most": 8, "every": 5, "bias": 1.1} | options)


def drafted(drafter, canvas=None):
    flow = drafter.draft(canvas or Canvas([0], 99))
    with pytest.raises(StopIteration) as done:
        next(flow)
    return done.value.value


def per_cell(k, batch=1, context=64):
    return k * batch


def flat(k, batch=1, context=64):
    return 1.0


def test_where_it_does_not_pay_the_inner_drafter_is_not_asked():
    """And after an interval without drafts it is tried again, once, as deep as allowed."""
    calls, canvas = [], Canvas([0], 99)
    drafter = made(inner(calls=calls), cost=per_cell)
    lengths = []
    for _ in range(16):
        (tree,) = trees = drafted(drafter, canvas)
        lengths.append(len(tree))
        drafter.learn(canvas, trees, None, [[7]])  # rejected
    assert lengths == [0] * 5 + [4] + [0] * 4 + [4] + [0] * 4 + [4]
    assert len(calls) == 3


def test_what_a_probe_shows_counts_at_once():
    """The load is gone: the probe's decision is made before the next draft."""
    busy = [1000]
    canvas = Canvas([0], 99)
    drafter = made(
        inner(), load=lambda: Load(busy[0], 1),
        cost=lambda k, batch=1, context=64: 1 + 0.01 * batch * k,
    )  # fmt: skip
    lengths = []
    for i in range(12):
        busy[0] = 1000 if i < 5 else 1
        (tree,) = trees = drafted(drafter, canvas)
        lengths.append(len(tree))
        drafter.learn(canvas, trees, None, [[*range(len(tree)), 9]])
    assert lengths == [0] * 5 + [4] * 7


def test_deep_trees_are_cut_and_learning_sees_what_was_judged():
    """With so small a cost 8 deep pays, a chain of 20 is cut there; `upto` drafts no more at all."""
    learnt = []
    drafter = made(inner(depth=20, learnt=learnt), cost=flat)
    (tree,) = trees = drafted(drafter)
    assert tree == chain(range(8))
    canvas = Canvas([0], 99)
    trees = drafted(drafter, canvas)
    drafter.learn(canvas, trees, None, [[0, 1, 5]])
    assert learnt == [trees]
    (tree,) = drafted(made(inner(depth=20, upto=True), cost=flat))
    assert tree == chain(range(8), source="short")


def test_running_means():
    """a counts judged tokens: 2 of 3; then 8 of 8, where nothing was rejected."""
    memory, canvas = {}, Canvas([0], 99)
    drafter = made(inner(depth=20), cost=flat, memory=memory)
    (state,) = memory.values()
    alpha, match = ALPHA, MATCH
    for path, rate in (([0, 1, 5], 2 / 3), ([*range(8), 3], 1.0), ([9], 0.0)):
        drafter.learn(canvas, drafted(drafter, canvas), None, [path])
        alpha, match = 0.85 * alpha + 0.15 * rate, 0.85 * match + 0.15
        assert state.alpha == pytest.approx(alpha)
        assert state.match == pytest.approx(match)
    empty = made(Drafter(by_row(lambda canvas, row: Tree())), cost=flat, memory=memory)
    empty.learn(canvas, drafted(empty, canvas), None, [[1]])
    assert (state.alpha, state.match) == (pytest.approx(alpha), pytest.approx(0.85 * match))


def test_trees_cost_all_their_nodes():
    """Nodes at each depth are counted: what pays for a chain does not for a tree of twenty."""
    wide = Drafter(by_row(lambda canvas, row: Tree((*range(20), 1), (-1,) * 20 + (0,))))
    often = {}
    for name, drafter in (("wide", wide), ("chain", inner(depth=2))):
        canvas = Canvas([0], 99)
        policy = made(drafter, cost=lambda k, batch=1, context=64: 1 + 0.1 * k)
        depths = []
        for _ in range(120):
            trees = drafted(policy, canvas)
            depths.append(max((0, *trees[0].depth)))
            policy.learn(canvas, trees, None, [[0, 1, 9][: depths[-1] + 1]])  # all accepted
        often[name] = sum(map(bool, depths[-20:]))
    assert often["wide"] <= 20 / 5  # the probes
    assert often["chain"] == 20


def test_draft_runs_are_no_more_than_the_depth():
    """Over a net's chain only k tokens are drafted, not the inner option's number."""
    nets = {"target": ToyCausal(0), "exit": ToyCausal(0)}
    options = {"drafter": "early_exit/tokens=20", "most": 3}
    record = subject("smartspec", options=options).run([1, 2], 40, nets=nets)
    assert record.request.runs["exit"] <= 3 * record.request.runs["target"]
    assert max(len(ask.guess[0]) for ask, _ in record.answers if ask.net == "target") == 3


INNER = [
    "prompt_lookup", "token_recycling", "jacobi", "lookahead", "merged", "chained",
    "dyspec/drafter=(early_exit/layer=2)", "sequoia/drafter=token_recycling", "confidence",
    "merged/drafters=jacobi,lookahead", "(template/drafter=(draft_model)/tree=medusa)",
]  # fmt: skip


@pytest.mark.parametrize("spec", INNER)
@pytest.mark.parametrize("most", [1, 2, 8])
def test_any_drafter_cut_anywhere(spec, most):
    """The text is the plain loop's, whatever is cut off and whenever nothing is drafted."""
    nets = {"target": ToyCausal(0), "exit": ToyCausal(0, blur=0.3), "draft": ToyCausal(0, blur=0.3)}
    prompt = [0, 1, 2, 0, 1, 2, 0]
    for greedy, plain in ((True, "greedy"), (False, "sample")):
        true = subject(plain).run(prompt, 30, greedy=greedy, nets=nets).texts
        for every in (1, 3):
            options = {"drafter": spec, "most": most, "every": every, "verify": "auto" if greedy else "match"}
            record = subject("smartspec", options=options).run(prompt, 30, greedy=greedy, nets=nets)
            assert record.texts == true
            sizes = [ask.guess[0].depth for ask, _ in record.answers if ask.net == "target"]
            assert max(max((0, *depth)) for depth in sizes) <= most


def test_a_members_lines_are_its_own_when_the_tree_is_cut():
    """merged hands every member the lines of its own guesses, of those that were judged."""
    got = {}

    def member(name, tree):
        def learn(canvas, trees, seen, paths):
            got[name] = (trees[0], seen[0].tolist())

        return Drafter(by_row(lambda canvas, row: tree), learn=learn)

    members = {"a": member("a", chain([5, 6, 7])), "b": member("b", Tree((5, 8, 9), (-1, 0, -1)))}
    drafter = merged(Setting(make=members.get), drafters="a,b")
    canvas = Canvas([0], 99)
    flow = drafter.draft(canvas)
    with pytest.raises(StopIteration):
        next(flow)
    cut = Tree((5, 6, 8, 9), (-1, 0, 0, -1))  # 7 is gone
    lines = np.array([10, 15, 16, 18, 19])  # after the text's end, 5, 6, 8, 9
    drafter.learn(canvas, (cut,), ([lines], ([lines], None)), [[5, 1]])
    assert got["a"][0].token == (5, 6)
    assert got["a"][1] == [10, 15, 16]
    assert got["b"][0].token == (5, 8, 9)
    assert got["b"][1] == [10, 15, 18, 19]


def test_fitted_cost():
    """Where nothing was measured: the paper's fit, about 7 ms for one request."""
    assert fitted(1) == pytest.approx(0.00696, rel=1e-2)
    assert fitted(5, batch=64) > fitted(1, batch=64) > fitted(1)

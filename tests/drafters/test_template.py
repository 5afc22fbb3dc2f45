"""Static templates: forms by children counts, filled with the likeliest."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.template import form_of, template
from anyorder.drafters.token_recycling import template as recycling
from anyorder.testing import ToyCausal, subject

OPTIONS = [{}, {"tree": "2;1", "draw": "sampled"}, {"tree": "medusa"}, {"tree": "0"}]


def depths(tree):
    form = form_of(tree)
    depth = Tree((0,) * len(form), tuple(form)).depth
    return [depth.count(d) for d in range(1, max((0, *depth)) + 1)]


@pytest.mark.parametrize(
    "tree, counts",
    [
        ("token_recycling", [8, 21, 25, 15, 8, 3]), ("medusa", [10, 28, 23, 2]), ("chain4", [1, 1, 1, 1]),
        ("4;2,1;1", [4, 3, 1]), ("0", []), ("3; 0,2", [3, 2]),
    ],
)  # fmt: skip
def test_forms(tree, counts):
    assert depths(tree) == counts


def test_token_recyclings_form_is_its_own():
    assert form_of("token_recycling") == recycling()[0]


@pytest.mark.parametrize(
    "tree", ["", "x", "2;1,1,1", "1;-1", "0;1", "3,1", "1;;1", "2000", "60;" + "60," * 60]
)
def test_malformed_forms(tree):
    setting = Setting(make=lambda spec: Drafter(by_row(lambda canvas, row: Tree()), net="draft"))
    with pytest.raises(ValueError, match=r"tree .*allowed is a name"):
        template(setting, drafter="x", tree=tree, draw="likeliest")


def test_children_are_the_ranked_ones():
    after = {(): (5, 6, 7), (5,): (1, 2), (6,): (3,), (5, 1): (4,)}  # (6) has fewer than the form wants
    inner = Drafter(
        by_row(lambda canvas, row: Tree()),
        rank=lambda canvas, row: lambda path: [(t, 0.2) for t in after.get(path, ())],
    )
    drafter = template(Setting(make=lambda spec: inner), drafter="x", tree="2;2,2;1,0,1", draw="likeliest")
    flow = drafter.draft(Canvas([0], 9))
    with pytest.raises(StopIteration) as done:
        next(flow)
    (tree,) = done.value.value
    assert [tree.path(i) for i in range(len(tree))] == [[5], [6], [5, 1], [5, 2], [6, 3], [5, 1, 4]]


def test_one_run_of_the_draft_net_for_each_level():
    nets = {"target": ToyCausal(0), "exit": ToyCausal(0, blur=1.0)}
    record = subject("template", options={"tree": "3;2,1;1,0,1"}).run([1, 2], 20, nets=nets)
    asks = [ask for ask, _ in record.answers]
    assert [ask.net for ask in asks[:4]] == ["exit", "exit", "exit", "target"]
    assert [len(ask.guess[0]) for ask in asks[:4]] == [0, 2, 4, 8]  # leaves of the form are not run
    best = nets["exit"].plain([1, 2]).topk(3)[1].tolist()
    assert list(asks[3].guess[0].token[:3]) == best

"""Guidance: the formula, cell by cell; w = 0 is the method itself; any method may be guided."""

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Ask, Commit
from anyorder.filling import look
from anyorder.methods.diffusion.guided import combined, guided
from anyorder.shapers import Sampling
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run, runs

OPTIONS = [{}, {"w": 0.0}, {"w": 2.5, "then": "freedave/drafts=3"}, {"then": "wino/draft=0.1/verify=0.2"}]
PROMPT = [2, 0, 1]


def test_the_formula():
    cond, un = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    for w in (0.0, 0.5, 3.0):
        assert torch.allclose(combined(cond, un, w), (1 + w) * cond - w * un)
    none = -torch.inf
    cond, un = torch.tensor([[0.0, none, 1.0, none]]), torch.tensor([[1.0, 0.0, none, none]])
    assert combined(cond, un, 2.0).tolist() == [[-2.0, none, 1.0, none]]  # nothing becomes NaN, or certain


@pytest.mark.parametrize("w", [0.5, 2.0])
@pytest.mark.parametrize("block", [6, 3])
def test_static_under_guidance_by_hand(w, block):
    changed = 0
    for seed in range(4):
        net = ToyTwoWay(seed)
        record = run("guided", net, PROMPT, 6, block, w=w)
        row = [*PROMPT, *[net.mask] * 6]
        for cells in record.canvas.blocks():
            while holes := [i for i in cells if row[i] == net.mask]:
                without = net.plain([*[net.mask] * 3, *row[3:]])
                laws = combined(net.plain(row), without, w).softmax(-1)
                best = max(holes, key=lambda i: (float(laws[i].max()), -i))
                row[best] = int(laws[best].argmax())
        assert record.canvas.rows[0] == row
        changed += record.texts != run("static", net, PROMPT, 6, block).texts
    assert changed


@pytest.mark.parametrize(
    "then", ["static", "static/steps=2", "wino/draft=0.1/verify=0.2", "remdm/share=0.5", "edit/draft=0.1"]
)
@pytest.mark.parametrize("greedy", [True, False])
def test_w_of_0_is_the_method_and_costs_no_more(then, greedy):
    name, *options = then.split("/")
    given = dict(option.split("=") for option in options)
    plain = run(name, ToyTwoWay(1), PROMPT, 8, 5, greedy=greedy, seed=2, **given)
    found = run("guided", ToyTwoWay(1), PROMPT, 8, 5, greedy=greedy, seed=2, w=0, then=then)
    assert found.commits == plain.commits
    assert found.request.cells == plain.request.cells
    assert runs(found) == runs(plain)


def test_twice_the_cells_and_no_more_runs():
    net = ToyTwoWay()
    plain, found = run("static", net, PROMPT, 8), run("guided", net, PROMPT, 8, then="static")
    assert runs(found) == runs(plain) == 8
    assert found.request.cells["target"] == 2 * plain.request.cells["target"]


def test_a_lossless_method_stays_lossless_under_guidance():
    """FreeDave's text is static's, of whatever law; its drafts and the hidden prompt are assumed together."""
    fewer = 0
    for seed in range(4):
        net = ToyTwoWay(seed)
        one = run("guided", net, PROMPT, 8, 4, w=1.5)
        two = run("guided", net, PROMPT, 8, 4, w=1.5, then="freedave/drafts=4")
        assert two.texts == one.texts
        fewer += runs(one) - runs(two)
    assert fewer > 0


def test_shaping_stays_in_force():
    net = ToyTwoWay(1)
    free = run("guided", net, PROMPT, 6, w=2.0).texts[0]
    banned = tuple(set(free))
    assert not set(banned) & set(run("guided", net, PROMPT, 6, w=2.0, shape=Sampling(banned=banned)).texts[0])


def test_nothing_stale_is_used():
    """The states that a caching method keeps are those of one reading; both are computed afresh."""

    def keeps(canvas):
        while any(holes := canvas.holes(canvas.blocks()[0])):
            (seen,) = yield Ask(look(greedy=True), at=holes)
            yield Commit([[seen.token[0]]], at=[[seen.cells[0]]], keep=[range(3)])

    net = ToyTwoWay()
    made = guided(Setting(method=lambda spec: keeps), w=1.0, then="any")
    (record,) = play([Request(Canvas(PROMPT, 4, mask=net.mask), made, {"target": net})])
    assert all(commit.keep == () for commit in record.commits)
    assert {answer.cells for _, answer in record.answers} == {7}


def test_what_cannot_be_guided():
    with pytest.raises(ValueError, match="unknown method 'none'"):
        run("guided", ToyTwoWay(), PROMPT, 4, then="none")
    with pytest.raises(ValueError, match="beam writes from left to right"):
        run("guided", ToyTwoWay(), PROMPT, 4, then="beam")

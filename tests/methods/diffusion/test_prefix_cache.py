"""Prefix cache: the cells it feeds, and where it changes nothing."""

import pytest
import torch

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.nets.adapter import Adapter
from anyorder.registry import build, parsed
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run
from tests.nets.test_two_way import MASK, net

OPTIONS = [{}, {"then": "static"}, {"then": "freedave/drafts=2"}]


def fed(prompt: int, budget: int, block: int, steps: int) -> list[int]:
    """F(P+G) for a block's first run, F(P+G-b0) for the others."""
    whole = prompt + budget
    starts = range(prompt, whole, block)
    return [whole if step == 0 else whole - b0 for b0 in starts for step in range(steps)]


@pytest.mark.parametrize("prompt, budget, block", [(1, 6, 6), (3, 8, 4), (2, 12, 3)])
def test_cells_fed(prompt, budget, block):
    record = run("prefix_cache", ToyTwoWay(), [1] * prompt, budget, block, then="static")
    assert [a.cells for _, a in record.answers] == fed(prompt, budget, block, block)


def test_one_step_a_block_changes_nothing():
    for seed in range(4):
        net = ToyTwoWay(seed)
        plain = run("static", net, [2, 0, 1], 8, 4, steps=1)
        assert run("prefix_cache", net, [2, 0, 1], 8, 4, then="static/steps=1").texts == plain.texts


def test_changes_something():
    """Else the tests above show nothing."""
    nets = [ToyTwoWay(seed) for seed in range(12)]
    texts = [run(m, n, [2, 0, 1], 9, 9, **o).texts for n in nets for m, o in
             (("static", {}), ("prefix_cache", {"then": "static"}))]  # fmt: skip
    assert texts[::2] != texts[1::2]


@pytest.mark.parametrize("inner", ["static", "threshold/threshold=0.2"])
@pytest.mark.parametrize("prompt", [[3, 1, 4, 1], [2, 7, 1, 8, 2, 8, 1, 8]])
def test_where_cells_see_no_later_block_nothing_goes_stale(inner, prompt):
    """On a block-causal net every answer is bit for bit that of the method alone."""
    records = []
    for name, given in (parsed(inner), ("prefix_cache", {"then": inner})):
        two = net(Adapter(MASK, "block", block=4))
        canvas = Canvas(prompt, 12, mask=MASK, block=4, origin=0)
        method = build(name, given, Setting(vocab=two.vocab))
        records += play([Request(canvas, method, {"target": two})])
    plain, cached = records
    assert plain.texts == cached.texts
    assert any(commit.keep for commit in cached.commits)
    for (_, one), (_, two) in zip(plain.answers, cached.answers, strict=True):
        assert torch.equal(one.logits, two.logits)
        assert one.cells == two.cells

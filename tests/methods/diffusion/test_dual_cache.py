"""Dual cache: the cells it feeds, with and without a margin, on toy and real nets."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.nets.adapter import Adapter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run
from tests.nets.test_two_way import MASK, net

OPTIONS = [{}, {"then": "static"}, {"then": "static", "margin": 2}, {"then": "wino"}]


def fed(prompt: int, budget: int, block: int, steps: int, margin: int = 0) -> list[int]:
    """F(P+G) for a block's first run, F(B) and what of the margin there is for the others."""
    whole, cells = prompt + budget, []
    for b0 in range(prompt, whole, block):
        near = min(whole, b0 + block + margin) - max(0, b0 - margin)
        cells += [whole, *[near] * (steps - 1)]
    return cells


@pytest.mark.parametrize("margin", [0, 1, 2, 50])
@pytest.mark.parametrize("prompt, budget, block", [(1, 6, 6), (3, 8, 4), (2, 12, 3)])
def test_cells_fed(prompt, budget, block, margin):
    given = {"then": "static", "margin": margin}
    record = run("dual_cache", ToyTwoWay(), [1] * prompt, budget, block, **given)
    assert [a.cells for _, a in record.answers] == fed(prompt, budget, block, block, margin)


@pytest.mark.parametrize("shift", [False, True])
def test_cells_fed_to_a_model(shift):
    """A shifted model reads a block's first cell off the one before it, which is fed while that is a hole."""
    two = net(Adapter(MASK, shift=shift))
    method = build("dual_cache", {"then": "static"}, Setting(vocab=two.vocab))
    (record,) = play([Request(Canvas([1, 2, 3], 8, mask=MASK, block=4), method, {"target": two})])
    first = [step.at[0][0] in (3, 7) for step, _ in record.answers]
    extra = [shift and hole and cells < 11 for hole, cells in zip(first, [11, 4, 4, 4] * 2)]
    assert [a.cells for _, a in record.answers] == [
        n + more for n, more in zip([11, 4, 4, 4] * 2, extra, strict=True)
    ]


def test_one_step_a_block_and_a_margin_over_everything_change_nothing():
    for seed in range(4):
        net = ToyTwoWay(seed)
        for steps, margin in ((1, 0), (4, 50)):
            plain = run("static", net, [2, 0, 1], 8, 4, steps=steps)
            then = {"then": f"static/steps={steps}", "margin": margin}
            assert run("dual_cache", net, [2, 0, 1], 8, 4, **then).texts == plain.texts


def test_reads_stale_states():
    """The answers of a block's later runs are near those of a fresh run, and not the same."""
    net = ToyTwoWay()
    record = run("dual_cache", net, [2, 0, 1], 8, 4, then="static")
    row, off = [2, 0, 1, *[net.mask] * 8], []
    for (ask, answer), commit in zip(record.answers, record.commits, strict=True):
        off.append(float((answer.logits - net.plain(row)[ask.at[0]]).nan_to_num().abs().max()))
        for token, cell in zip(commit.token[0], commit.at[0], strict=True):
            row[cell] = token
    assert max(off[0], off[4]) < 1e-12
    assert min(off[1:4]) > 1e-6

"""Raster order: cells one by one, each with the law of what stands before, the rest masked."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, distance, enumerate_outcomes, play

OPTIONS = [{"width": 1}]

PROMPT = [1]


def run(net, budget, greedy=True, width=0, **given):
    canvas = Canvas(PROMPT, budget, mask=net.mask)
    method = build("raster", {"width": width}, Setting(greedy=greedy, vocab=net.vocab))
    return play([Request(canvas, method, {"target": net}, **given)])[0]


def test_greedy_grid_by_hand():
    net, row = ToyTwoWay(), None
    record = run(net, 4)
    row = [*PROMPT, *[net.mask] * 4]
    for i in range(1, 5):
        row[i] = int(net.plain(row)[i].argmax())
    assert record.canvas.rows[0] == row
    assert [list(c.at[0]) for c in record.commits] == [[1], [2], [3], [4]]


def test_law_is_the_chain_rule():
    net = ToyTwoWay(2, vocab=4)

    def by_hand(row):
        if net.mask not in row:
            return {tuple(row[len(PROMPT) :]): 1.0}
        i, out = row.index(net.mask), {}
        for t, p in enumerate(net.plain(row)[i].softmax(-1).tolist()):
            if p:
                for text, w in by_hand([*row[:i], t, *row[i + 1 :]]).items():
                    out[text] = out.get(text, 0.0) + p * w
        return out

    found = enumerate_outcomes(lambda chance: tuple(run(net, 4, greedy=False, chance=chance).texts[0]))
    assert distance(found, by_hand([*PROMPT, *[net.mask] * 4])) < 1e-6


def test_width_that_does_not_fill():
    assert run(ToyTwoWay(), 6, width=3).canvas.done
    with pytest.raises(ValueError, match="the canvas has 6 cells, which rows of 4 do not fill; choose"):
        run(ToyTwoWay(), 6, width=4)

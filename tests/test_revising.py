"""What revising methods share: whose cells they are, what is heard of them, how often they change."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.registry import build
from anyorder.revising import Edits, filled, hear, holes_of, reopened, trust, write
from anyorder.testing import ToyTwoWay, play

REVISING = {
    "rediff": {"revise_start": 0, "edits": 3},
    "edit": {"draft": 0.1, "change": 0.0, "back": 2},
    "wino": {"draft": 0.05, "verify": 1.0},
    "remdm": {"by": "fixed", "share": 1.0},
    "dd_vla": {"steps": 6},
}


def given(net):
    """Five cells, two of them fixed."""
    return Canvas([1, 2], 5, mask=net.mask, given=[net.mask, 4, net.mask, net.mask, 7])


def test_given_cells_are_nobody_s():
    net = ToyTwoWay()
    canvas = given(net)
    mine = holes_of(canvas)
    assert mine == {0: {2, 4, 5}}
    canvas.write(write([{4: 3}]))
    assert filled(canvas, range(2, 7), mine, canvas.holes(range(2, 7))) == [[4]]
    assert filled(canvas, range(4, 5), mine, [[]]) == [[]]  # a row that is done is left alone
    canvas.write(write([reopened(canvas, [4])]))
    assert canvas.rows[0][4] == net.mask


@pytest.mark.parametrize("greedy", [True, False])
def test_holes_are_drawn_and_filled_cells_are_not(greedy):
    net = ToyTwoWay()
    row = [1, 2, net.mask, 4, net.mask, 9]
    canvas = Canvas(row[:2], 4, mask=net.mask, given=row[2:])
    found = []

    def method(canvas):
        heard = yield hear([[2, 4]], [[5, 3]], greedy, step=0)
        found.append(heard)

    play([Request(canvas, method, {"target": net}, chance=Chance(3))])
    ((heard,), laws) = found, net.plain(row).softmax(-1)
    (holes,), (others,) = heard.holes, heard.filled
    assert (holes.cells, others.cells) == ((2, 4), (5, 3))
    assert others.token == tuple(laws[i].argmax() for i in (5, 3))
    assert trust(canvas, others) == pytest.approx([float(laws[5, 9]), float(laws[3, 4])], abs=1e-6)
    for i, token, sure in zip(holes.cells, holes.token, holes.sure):
        assert sure == pytest.approx(float(laws[i, token]), abs=1e-6)
        if greedy:
            assert token == laws[i].argmax()
        else:
            assert token == heard.chance.pick(net.plain(row)[i], 0, i, 2)


def test_every_step_draws_afresh():
    net, found = ToyTwoWay(), []

    def method(canvas):
        for step in (0, 1, 2, 0):
            heard = yield hear([[2, 3, 4, 5, 6, 7]], [[]], False, step=step)
            found.append(heard.holes[0].token)

    play([Request(Canvas([1, 2], 6, mask=net.mask), method, {"target": net})])
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_a_cell_is_rewritten_so_often():
    edits = Edits(2)
    for k in (1, 2):
        edits.step()
        assert edits.allowed(0, {5: k}) == {5: k}
        assert edits.why == ""
    edits.step()
    assert edits.allowed(0, {5: 9, 6: 1}) == {6: 1}
    assert edits.allowed(1, {5: 9}) == {5: 9}  # another row's cell
    assert edits.why == "cells that stay, rewritten 2 times already: 1"


@pytest.mark.parametrize("name", REVISING)
@pytest.mark.parametrize("greedy", [True, False])
def test_what_a_template_gave_is_never_changed_or_asked_about(name, greedy):
    for seed in range(3):
        net = ToyTwoWay(seed)
        canvas = given(net)
        method = build(name, REVISING[name], Setting(greedy=greedy, vocab=net.vocab))
        (record,) = play([Request(canvas, method, {"target": net}, chance=Chance(seed))])
        assert {canvas.rows[0][3], canvas.rows[0][6]} == {4, 7}
        assert net.mask not in canvas.rows[0]
        assert all(not {3, 6} & set(ask.at[0]) for ask, _ in record.answers)
        assert all(not {3, 6} & set(commit.at[0]) for commit in record.commits)
        assert all(set(commit.at[0]) <= set(canvas.blocks()[0]) for commit in record.commits)


@pytest.mark.parametrize("name", REVISING)
def test_it_does_change_what_it_wrote(name):
    """Else the test above would say nothing."""
    changed = 0
    for seed in range(6):
        net = ToyTwoWay(seed)
        method = build(name, REVISING[name], Setting(vocab=net.vocab))
        (record,) = play([Request(Canvas([1, 2], 9, mask=net.mask, block=6), method, {"target": net})])
        row: dict[int, int] = {}
        for commit in record.commits:
            for token, cell in zip(commit.token[0], commit.at[0], strict=True):
                changed += row.get(cell, token) not in (token, net.mask)
                row[cell] = token
    assert changed

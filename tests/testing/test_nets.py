"""The toy nets against themselves computed from nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyorder.core.canvas import Canvas
from anyorder.core.types import Ask, Commit, Tree
from anyorder.testing import ByText, ToyCausal, ToyTwoWay

CLOSE = 1e-12


def read(answer, chance):
    return None


def ask(net, canvas, **given):
    return net([(Ask(read, **given), canvas)])[0]


@st.composite
def trees(draw):
    parents = [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(0, 6)))]
    return Tree(tuple(draw(st.integers(0, 3)) for _ in parents), tuple(parents))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(trees(), trees(), st.integers(0, 3)), min_size=1, max_size=4), st.data())
def test_every_line_is_the_plain_one(rounds, data):
    """Two rows, trees and skips of all forms, commits that follow guesses or do not, forks."""
    net, canvas = ToyCausal(0, 4), Canvas([1, 2], 60, rows=2)
    for one, two, skip in rounds:
        answer = ask(net, canvas, guess=(one, two), skip=skip)
        seen = 0
        for lines, tree in zip(answer.rows, (one, two), strict=True):
            for line in range(skip, lines.count):
                text = [*canvas.rows[lines.row], *tree.path(line - 1)]
                assert (answer.logits[lines.start + line] - net.plain(text)).abs().max() < CLOSE
                seen += 1
        assert seen == len(answer.logits)
        paths = [[tree.path(i) for i in range(-1, len(tree))] for tree in (one, two)]
        token = [data.draw(st.sampled_from(p)) + [data.draw(st.integers(0, 3))] for p in paths]
        parents = data.draw(st.sampled_from([None, (0, 1), (1, 0), (0, 0), (1, 1)]))
        commit = Commit(token, parents=parents)
        canvas.write(commit)
        net.follow(canvas, commit)


def test_cells_fed():
    net, canvas = ToyCausal(), Canvas([1, 2, 3], 9)
    assert ask(net, canvas).cells == 3
    assert ask(net, canvas).cells == 1, "a wanted line is run again"
    tree = Tree((4, 5), (-1, 0))
    assert ask(net, canvas, guess=(tree,)).cells == 3
    assert ask(net, canvas, guess=(tree,), skip=2).cells == 1
    commit = Commit([[4, 5, 6]])
    canvas.write(commit)
    net.follow(canvas, commit)
    assert ask(net, canvas).cells == 1, "accepted guesses stay"
    net.forget()
    assert ask(net, canvas).cells == 6


def test_layers_and_hidden():
    net, canvas = ToyCausal(), Canvas([1, 2, 3], 9)
    answer = ask(net, canvas, layers=(0, 2), guess=(Tree((4,), (-1,)),))
    assert torch.equal(answer.hidden, answer.layers[2])
    assert torch.allclose(answer.hidden @ net.weights.head, answer.logits)
    place = net.weights.token[[3, 4]] + net.weights.place[[2, 3]]
    assert torch.equal(answer.layers[0], place)


def test_causal_by_cell():
    """`plain` against attention written cell by cell, head by head, without a mask."""
    net, text = ToyCausal(3, 7), [2, 5, 1, 1]
    w = net.weights
    x = [w.token[t] + w.place[i] for i, t in enumerate(text)]
    for layer in range(2):
        keys, values = ([v @ m[layer] for v in x] for m in (w.key, w.value))
        nxt = []
        for i, v in enumerate(x):
            score = torch.stack([(v @ w.query[layer]) @ k / len(v) ** 0.5 for k in keys[: i + 1]]).softmax(0)
            v = v + sum(s * value for s, value in zip(score, values))
            nxt.append(v + (v @ w.widen[layer]).tanh() @ w.narrow[layer])
        x = nxt
    assert torch.allclose(x[-1] @ w.head, net.plain(text), atol=1e-12)


def test_blur_agrees_now_and_then():
    sharp, blurred = ToyCausal(0), ToyCausal(0, blur=0.5)
    texts = [[a, b] for a in range(13) for b in range(13)]
    same = sum(int(sharp.plain(t).argmax() == blurred.plain(t).argmax()) for t in texts)
    assert 0.3 < same / len(texts) < 0.95


# two-way -------------------------------------------------------------------------------------------------


def test_two_way_is_exact_when_nothing_is_kept():
    net = ToyTwoWay()
    canvas = Canvas([1, 2], 5, mask=net.mask, rows=2)
    for at in ([[2, 4], [3]], [[3], [6, 5]]):
        answer = ask(net, canvas, at=at)
        assert answer.cells == 14
        for lines in answer.rows:
            for i, cell in enumerate(lines.cells):
                true = net.plain(canvas.rows[lines.row])[cell]
                assert torch.allclose(answer.logits[lines.start + i], true, atol=CLOSE)
        commit = Commit([[4] * len(cells) for cells in at], at=at)
        canvas.write(commit)
        net.follow(canvas, commit)


def test_two_way_sees_both_sides_and_never_says_mask():
    net = ToyTwoWay()
    one, two = net.plain([1, net.mask, 3]), net.plain([1, net.mask, 4])
    assert (one[1] - two[1])[:-1].abs().max() > 1e-3
    assert (one[:, net.mask] == -torch.inf).all()


@pytest.mark.parametrize("keep, cells", [((), 6), ([[0, 1]], 4), ([[0, 1, 2, 3, 4, 5]], 2)])
def test_two_way_keeps_what_it_is_told(keep, cells):
    """Kept states are those of the last run: cheaper, and off by what changed since."""
    net = ToyTwoWay()
    canvas = Canvas([1, 2], 4, mask=net.mask)
    ask(net, canvas, at=[[2, 3]])
    commit = Commit([[5]], at=[[2]], keep=keep)
    canvas.write(commit)
    net.follow(canvas, commit)
    answer = ask(net, canvas, at=[[3, 4]])
    off = (answer.logits - net.plain(canvas.rows[0])[[3, 4]])[:, :-1].abs().max()
    assert answer.cells == cells
    assert (off > 1e-6) == bool(keep)
    net.forget()
    assert ask(net, canvas, at=[[3, 4]]).cells == 6


def test_kept_states_last_until_the_next_commit():
    net = ToyTwoWay()
    canvas = Canvas([1, 2], 4, mask=net.mask)
    ask(net, canvas, at=[[2]])
    commit = Commit([[5]], at=[[2]], keep=[[0]])
    canvas.write(commit)
    net.follow(canvas, commit)
    assert [ask(net, canvas, at=[[3]]).cells for _ in range(2)] == [5, 5]
    commit = Commit([[6]], at=[[3]])
    canvas.write(commit)
    net.follow(canvas, commit)
    assert ask(net, canvas, at=[[4]]).cells == 6


# by text -------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(trees(), st.integers(0, 3))
def test_by_text_says_what_the_toy_says(tree, skip):
    toy = ToyCausal(0, 4)
    one, two = (ask(net, Canvas([1, 2], 9), guess=(tree,), skip=skip) for net in (toy, ByText(toy.plain)))
    assert one.rows == two.rows
    assert one.logits.shape == two.logits.shape
    assert torch.allclose(one.logits, two.logits, atol=CLOSE)

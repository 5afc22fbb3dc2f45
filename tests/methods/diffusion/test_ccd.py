"""Coherent contextual decoding: the released rule by hand, and where it is plain decoding."""

import pytest

from anyorder.core.types import Commit
from anyorder.testing import ToyTwoWay
from tests.methods.diffusion.said import Said, run, runs

OPTIONS = [
    {"warmup": 1},
    {"amount": "uniform", "warmup": 1, "steps": 2},
    {"order": "confidence", "expand": 1.0, "narrow": 0.5, "warmup": 1},
]


def by_hand(net, row, k, expand, warmup, dynamic, most=60):
    """The released loop over one block of entropy scores, k cells a step: what each step writes, and its
    candidates."""
    last, buffer, steps = {}, [], []
    grown = 1
    for step in range(most):
        if net.mask not in row:
            return row, steps
        laws = net.plain(row).softmax(-1)
        holes = [i for i, t in enumerate(row) if t == net.mask]
        entropy = {i: float(-(laws[i] * laws[i].clamp(min=1e-300).log()).sum()) for i in holes}
        best = {i: int(laws[i].argmax()) for i in holes}
        ranked = sorted(holes, key=lambda i: (entropy[i], i))
        top = ranked[:k]
        size = min(grown, len(top) + int(len(top) * expand))
        cand, write = ranked[:size], top
        if step >= warmup and set(top) & set(buffer):
            match = [i for i in cand if i in buffer and best[i] == last[i]]
            if len(match) >= len(top):
                write = match if dynamic else match[:k]
        steps.append((sorted(write), set(cand) | set(top)))
        buffer = [i for i in ranked if i not in write][:size]
        row = [best[i] if i in write else t for i, t in enumerate(row)]
        last = best
        grown = 1 if step + 2 <= warmup else grown + 1
    raise AssertionError("no end")


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("expand", [1.0, 4.0])
@pytest.mark.parametrize("warmup", [1, 2, 5])
@pytest.mark.parametrize("amount", ["dynamic", "uniform"])
def test_the_released_rule(k, expand, warmup, amount):
    for seed in range(4):
        net = ToyTwoWay(seed)
        given = {"expand": expand, "warmup": warmup, "amount": amount, "steps": 12 // k}
        found = run("ccd", net, [1, 2], 12, **given)
        row, steps = by_hand(net, [1, 2, *[net.mask] * 12], k, expand, warmup, amount == "dynamic")
        assert [list(commit.at[0]) for commit in found.commits] == [write for write, _ in steps]
        assert all(allowed.issuperset(write) for write, allowed in steps)
        assert found.canvas.rows[0] == row


def test_two_at_once_when_they_stay():
    """A net that never changes its mind: from warm-up on all the buffer is written, twice as fast a step."""
    net = Said(lambda cells: [(i, 0.9 - i / 100) for i in range(len(cells))])
    found = run("ccd", net, [1], 15, warmup=2, expand=4.0)
    # buffers of 1 and 1 cell in warm-up, then as many as the growing buffer held
    assert [len(commit.at[0]) for commit in found.commits] == [1, 1, 1, 2, 3, 4, 3]
    assert found.texts[0] == list(range(15))


@pytest.mark.parametrize("given", [{"expand": -1.0}, {"warmup": 1000}, {"expand": -1.0, "warmup": 1}])
@pytest.mark.parametrize("order", ["entropy", "confidence"])
@pytest.mark.parametrize("steps", [0, 3])
def test_without_buffer_or_with_endless_warmup_it_is_static(given, order, steps):
    for seed in range(3):
        found = run("ccd", ToyTwoWay(seed), [1, 2], 9, 5, order=order, steps=steps, **given)
        plain = run("static", ToyTwoWay(seed), [1, 2], 9, 5, order=order, steps=steps)
        assert found.commits == plain.commits


@pytest.mark.parametrize("greedy", [True, False])
def test_a_net_that_changes_its_mind_is_decoded_plainly(greedy):
    """Every likeliest token is another one in each step, so no cell is the same twice."""

    def says(cells):
        left = cells.count(19)
        return [((left + i) % 18, 0.9 - i / 100) for i in range(len(cells))]

    found = run("ccd", Said(says), [1], 9, warmup=1, greedy=greedy, seed=3)
    plain = run("static", Said(says), [1], 9, order="entropy", greedy=greedy, seed=3)
    assert found.commits == plain.commits
    assert runs(found) == 9


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_never_more_steps_than_configured(steps):
    for seed in range(4):
        plain = runs(run("static", ToyTwoWay(seed), [1, 2], 12, 4, steps=steps))
        for given in ({"amount": "dynamic"}, {"amount": "uniform"}):
            found = runs(run("ccd", ToyTwoWay(seed), [1, 2], 12, 4, steps=steps, warmup=1, **given))
            assert found <= plain
            assert given["amount"] == "dynamic" or found == plain


def test_one_cell_waits_towards_the_end():
    """From half of the holes on the buffer has one cell, so that no step writes more."""
    net = Said(lambda cells: [(i, 0.9 - i / 100) for i in range(len(cells))])
    found = run("ccd", net, [1], 12, warmup=1, narrow=0.5)
    sizes, left = [], 12
    for commit in found.commits:
        sizes.append((left, len(commit.at[0])))
        left -= sizes[-1][1]
    assert all(size == 1 for left, size in sizes if left <= 6)
    assert max(size for left, size in sizes if left > 6) > 1


def test_blocks_are_filled_one_after_the_other():
    found = run("ccd", ToyTwoWay(), [1, 2], 12, 4, warmup=1)
    ends = [(max(s.at[0]) - 2) // 4 for s in found.steps if isinstance(s, Commit)]
    assert ends == sorted(ends)

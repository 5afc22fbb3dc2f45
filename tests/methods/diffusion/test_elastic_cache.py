"""Elastic-Cache: its window, the cells it feeds, and that always computing everything is no cache."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Commit
from anyorder.nets.adapter import Adapter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run
from tests.nets.test_two_way import MASK, net

OPTIONS = [{}, {"window": 3}, {"window": 2, "threshold": 0.2}]


def fed(prompt: int, budget: int, window: int) -> list[int]:
    """Never refreshed, one cell a step: everything at first, then the window and the cell just written."""
    return [prompt + budget, *[1 + min(window, budget - step) for step in range(1, budget)]]


def played(two, **options):
    method = build("elastic_cache", options, Setting(vocab=two.vocab))
    return play([Request(Canvas([1, 2, 3], 9, mask=MASK), method, {"target": two})])[0]


@pytest.mark.parametrize("window", [1, 4, 16])
def test_cells_fed(window):
    record = run("elastic_cache", ToyTwoWay(), [1, 2, 3], 9, window=window, threshold=2.0, drift=-1)
    assert [a.cells for _, a in record.answers] == fed(3, 9, window)


def test_cells_fed_to_a_model():
    """The same where nothing drifts, and everything always where everything does."""
    record = played(net(Adapter(MASK)), window=4, threshold=2.0, drift=-1)
    assert [a.cells for _, a in record.answers] == fed(3, 9, 4)
    record = played(net(Adapter(MASK)), window=4, threshold=2.0, drift=2)
    assert [a.cells for _, a in record.answers] == [12] * 9


def test_always_drifting_is_the_window_policy_without_a_cache():
    def without(inner):
        def flow(canvas):
            going, reply = inner(canvas), None
            while True:
                step = going.send(reply)
                if isinstance(step, Commit):
                    reply = yield Commit(step.token, at=step.at)
                else:
                    reply = yield type(step)(step.read, at=step.at)

        return flow

    given = {"window": 4, "threshold": 0.2, "drift": 2.0}
    two = net(Adapter(MASK))
    method = without(build("elastic_cache", given, Setting(vocab=two.vocab)))
    (plain,) = play([Request(Canvas([1, 2, 3], 9, mask=MASK), method, {"target": two})])
    found = played(net(Adapter(MASK)), **given)
    assert found.texts == plain.texts
    for (_, one), (_, other) in zip(found.answers, plain.answers, strict=True):
        assert (one.logits - other.logits).nan_to_num().abs().max() < 1e-10


def test_window_is_of_the_leftmost_holes_and_the_surest_is_always_filled():
    record = run("elastic_cache", ToyTwoWay(1), [1, 2, 3], 9, window=3, threshold=2.0)
    row = [1, 2, 3, *[12] * 9]
    for (ask, _), commit in zip(record.answers, record.commits, strict=True):
        assert ask.at[0] == [i for i, token in enumerate(row) if token == 12][:3]
        assert len(commit.at[0]) == 1
        assert set(commit.keep[0]) == set(range(12)) - set(commit.at[0])
        row[commit.at[0][0]] = commit.token[0][0]

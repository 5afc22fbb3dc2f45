"""Forced tokens as a drafter: nothing without a constraint, a sure chain with one, and a member of teams."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Tree
from anyorder.registry import build, builder
from anyorder.testing import ToyCausal, greedy_text, play

OPTIONS = [{}]


def test_without_a_constraint_nothing_is_guessed():
    drafter = builder("forced")(Setting(vocab=5))
    canvas = Canvas([1], 4)
    with pytest.raises(StopIteration) as told:
        next(drafter.draft(canvas))
    assert told.value.value == (Tree(),)
    assert drafter.rank(canvas, 0)(()) == []


def test_the_chain_and_its_rank():
    setting = Setting(vocab=5, forced=lambda canvas, row: [2, 3])
    after = builder("forced")(setting).rank(Canvas([1], 4), 0)
    assert [after(path)[0][0] for path in ((), (2,))] == [2, 3]
    assert after((3,)) == after((2, 3)) == []


def test_wrong_guesses_do_no_harm_and_right_ones_save_runs():
    net = ToyCausal(0, 5)
    true = greedy_text(net, [1], 9)
    for known, runs in (
        (lambda canvas, row: true[len(canvas.generated()) :][:2], 3),
        (lambda canvas, row: [4], 9),
    ):
        for name in ("forced", "pooled"):
            method = build(name, {}, Setting(vocab=5, forced=known))
            (record,) = play([Request(Canvas([1], 9), method, {"target": net})])
            assert record.texts == [true]
            assert record.request.runs["target"] <= runs


def test_in_a_team():
    net = ToyCausal(0, 5)
    true = greedy_text(net, [1], 9)
    setting = Setting(vocab=5, forced=lambda canvas, row: true[len(canvas.generated()) :][:2])
    for team in ("chained", "pooled", "merged"):
        method = build(team, {"drafters": "forced,prompt_lookup"}, setting)
        (record,) = play([Request(Canvas([1], 9), method, {"target": net})])
        assert record.texts == [true]
        assert record.request.runs["target"] <= 3

"""Drafters' trees merged by expected gain."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.types import Tree
from anyorder.drafter import Drafter, by_row
from anyorder.drafters.pooled import SOBER, Luck, Pool, pooled
from anyorder.registry import build
from anyorder.sizes import Counts
from anyorder.testing import subject

OPTIONS = [{}, {"nodes": 3}, {"nodes": 0}]


def says(ranked):
    """A drafter that always says the same."""
    return Drafter(by_row(lambda canvas, row: Tree()), rank=lambda canvas, row: lambda path: ranked)


def draft_of(members, cost=None, text=(1, 2)):
    made = iter(members)
    setting = Setting(vocab=9, make=lambda spec: next(made), cost=cost)
    drafter = pooled(setting, "a,b", 4)
    canvas = Canvas(text, 20)
    with pytest.raises(StopIteration) as done:
        next(drafter.draft(canvas))
    (tree,) = done.value.value
    return drafter, canvas, tree


def test_the_surest_member_counts():
    _, _, tree = draft_of([says([(3, 0.2), (4, 0.1)]), says([(4, 0.5)])])
    assert tree.token[0] == 4
    assert {tree.token[i] for i, p in enumerate(tree.parent) if p == -1} == {3, 4}


def test_a_member_that_is_never_right_is_asked_no_more():
    drafter, canvas, tree = draft_of([says([(3, 0.6)]), says([(4, 0.3)])])
    assert tree.token[0] == 3
    for _ in range(60):
        drafter.learn(canvas, (tree,), (None, (None, None)), [[4]])
        with pytest.raises(StopIteration) as done:
            next(drafter.draft(canvas))
        (tree,) = done.value.value
    assert tree.token[0] == 4
    assert 3 not in tree.token


def test_dear_cells_mean_no_guesses():
    _, _, tree = draft_of([says([(3, 0.6)]), says([(4, 0.3)])], cost=lambda k, batch=1, context=64: float(k))
    assert not tree


def test_calibration_is_by_member_and_chance():
    counts = Counts()
    luck = [Luck(), Luck()]
    pool = Pool([lambda path: [(1, 0.5)], lambda path: [(2, 0.5)]], counts, luck)
    for _ in range(200):
        pool.after(())
        pool.learn([1, 9])
    chances = dict(Pool(pool.afters, counts, [Luck(), Luck()]).after(()))
    assert chances[1] > 0.9
    assert chances[2] < 0.1


def test_members_that_do_not_rank_are_refused():
    with pytest.raises(ValueError, match="drafters that rank"):
        build("pooled", {"drafters": "prompt_lookup,jacobi"}, Setting(vocab=9))


def test_pooled_text_needs_no_more_runs_than_prompt_lookup():
    prompt = [0, 1, 2, 0, 1, 2, 0]
    alone, both = (subject(name).run(prompt, 24) for name in ("prompt_lookup", "pooled"))
    assert both.texts == alone.texts
    assert len(both.commits) <= len(alone.commits)


def test_luck_with_a_text_scales_the_odds():
    luck = Luck(held=2.0, expected=6.0)
    assert luck.odds(0.5) == pytest.approx(SOBER / (SOBER + 3))  # odds of 1 become odds of a third, soberly
    assert Luck().odds(0.37) == pytest.approx(0.37 * SOBER / (0.37 * SOBER + 0.63))
    assert luck.odds(1.0) == 1.0
    assert luck.odds(0.0) == 0.0

"""Caches around policies: what is kept, when all is computed again, and what never changes the text."""

import random
from itertools import pairwise

import pytest

from anyorder import registry
from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.decode import Request
from anyorder.core.types import Ask, Commit
from anyorder.errors import UserError
from anyorder.filling import look
from anyorder.nets.adapter import Adapter
from anyorder.reuse import keeping
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run, runs
from tests.nets.test_two_way import MASK
from tests.nets.test_two_way import net as model

INNER = ["static", "static/steps=2", "threshold/threshold=0.2", "random_order/count=2", "freedave/drafts=3"]


def others(moment):
    return [i for i in range(len(moment.text)) if i not in moment.block]


def through(rule, inner, net, prompt, budget, block=None, **case):
    """A method inside a cache with this rule."""
    name, given = registry.parsed(inner)
    return run(name, net, prompt, budget, block, wrap=lambda m: keeping(m, rule), **given, **case)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("greedy", [True, False])
def test_who_keeps_nothing_writes_what_the_method_writes(inner, greedy):
    net = ToyTwoWay(1)
    name, given = registry.parsed(inner)
    plain = run(name, net, [2, 0, 1], 9, 4, greedy=greedy, **given)
    found = through(lambda moment: (), inner, net, [2, 0, 1], 9, 4, greedy=greedy)
    assert found.transcript == plain.transcript
    assert [a.cells for _, a in found.answers] == [a.cells for _, a in plain.answers]


def test_the_rule_sees_each_commit_and_the_block_it_is_in():
    moments = []
    record = through(lambda moment: moments.append(moment) or (), "static", ToyTwoWay(), [2, 0, 1], 8, 4)
    assert [(m.block, m.step) for m in moments] == [
        *((range(3, 7), step) for step in range(3)), *((range(7, 11), step) for step in range(3))
    ]  # fmt: skip
    assert [m.text[3:].count(m.mask) for m in moments] == [8, 7, 6, 4, 3, 2]
    assert len(record.commits) == 8  # the commits that fill a block keep nothing, whatever the rule says


def test_a_full_block_is_followed_by_a_run_over_everything():
    record = through(others, "static", ToyTwoWay(), [2, 0, 1], 8, 4)
    assert [a.cells for _, a in record.answers] == [11, 4, 4, 4, 11, 4, 4, 4]
    assert [bool(c.keep) for c in record.commits] == [True] * 3 + [False] + [True] * 3 + [False]


def test_cells_just_written_are_never_kept():
    for inner in INNER[:-1]:  # drafts that come true were read when they were drafts
        record = through(lambda moment: range(len(moment.text)), inner, ToyTwoWay(2), [2, 0, 1], 9, 4)
        unread = set()
        for step in record.steps:
            if isinstance(step, Commit):
                unread |= set(step.at[0])
                assert not step.keep or not unread & set(step.keep[0])
            else:
                unread = set()


def test_a_method_that_keeps_states_itself_is_refused():
    with pytest.raises(UserError, match="one cache"):
        run("dual_cache", ToyTwoWay(), [1], 6, 3, then="dual_cache/then=static")


def test_two_runs_without_a_commit_between_get_one_of_nothing():
    def twice(canvas):
        for _ in range(4):
            holes = canvas.holes(range(len(canvas.rows[0])))
            yield Ask(look(True), at=holes)
            seen = yield Ask(look(True), at=[holes[0][:2]])
            yield Commit([[seen[0].token[0]]], at=[[seen[0].cells[0]]])

    steps = list(_steps(keeping(twice, lambda moment: range(3)), Canvas([1, 2, 3], 4, mask=12)))
    for one, two in pairwise(steps):
        assert not (isinstance(one, Ask) and isinstance(two, Ask))
    assert next(s.keep for s in steps if isinstance(s, Commit)) == [[0, 1, 2]]


def _steps(method, canvas):
    return play([Request(canvas, method, {"target": ToyTwoWay()})])[0].steps


@pytest.mark.parametrize("cache", ["prefix_cache", "dual_cache"])
def test_drafts_come_true_as_under_the_same_cache_without_drafts(cache):
    """FreeDave under a cache writes static unmasking's text under that cache, over the ends of blocks too."""
    differ = 0
    for seed in range(10):
        rng, net = random.Random(seed), ToyTwoWay(seed)
        budget = rng.randrange(4, 13)
        case = {
            "prompt": [rng.randrange(12) for _ in range(rng.randrange(1, 5))], "budget": budget,
            "block": rng.randrange(2, budget + 1), "greedy": rng.random() < 0.5, "seed": seed,
            "eos": rng.choice([(), [3]]),
        }  # fmt: skip
        steps = rng.choice([0, 2, 3])
        plain = run(cache, net, then=f"static/steps={steps}", **case)
        differ += plain.texts != run("static", net, steps=steps, **case).texts
        for drafts in (1, 2, 6):
            found = run(cache, net, then=f"freedave/steps={steps}/drafts={drafts}", **case)
            assert found.texts == plain.texts, (drafts, case)
            assert runs(found) <= runs(plain)
            assert drafts > 1 or runs(found) == runs(plain)
    assert differ, "the cache never changed a text, so this shows nothing"


def test_drafts_come_true_in_a_model_too():
    """Answers under drafts are those of a run over everything where a block is full, bit for bit."""
    crossed = 0
    for seed in range(2):
        texts = []
        for then in ("static/steps=3", "freedave/steps=3/drafts=6"):
            two = model(Adapter(MASK))
            method = registry.build("dual_cache", {"then": then}, Setting(vocab=two.vocab))
            canvas = Canvas([seed, 2, 1], 12, mask=MASK, block=6)
            (record,) = play([Request(canvas, method, {"target": two})])
            texts.append(record.texts)
            asks = [ask for step in record.steps if isinstance(step, tuple) for ask in step if ask.fill]
            crossed += sum(len(ask.fill[0]) == 15 for ask in asks)
        assert texts[0] == texts[1]
    assert crossed


REFUSED = {  # by kinds of attention that a cache is not made for
    "prefix_cache": {"reordered", "hybrid"},
    "dual_cache": {"reordered", "hybrid"},
    "dkv_cache": {"reordered", "hybrid", "block"},
    "elastic_cache": {"reordered", "hybrid", "block"},
    "wedlm": {"full", "hybrid", "block"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_caches_are_for_kinds_of_attention(name):
    assert {"full", "block", "reordered", "hybrid"} - set(registry.card(name).attention) == REFUSED[name]
    assert not registry.card(name).exact

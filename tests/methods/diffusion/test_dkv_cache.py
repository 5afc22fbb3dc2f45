"""dKV-Cache: the cells it feeds in both variants, and that computing everything each step changes nothing."""

import pytest

from anyorder.card import Setting
from anyorder.core.canvas import Canvas
from anyorder.core.chance import Chance
from anyorder.core.decode import Request
from anyorder.errors import UserError
from anyorder.nets.adapter import Adapter
from anyorder.registry import build
from anyorder.testing import ToyTwoWay, play
from tests.methods.diffusion.said import run
from tests.nets.test_two_way import MASK, net

OPTIONS = [
    {},
    {"refresh": 3, "then": "threshold/threshold=0.2"},
    {"variant": "greedy", "window": 1},
    {"variant": "greedy", "refresh": 4, "count": 2},
]


def decode_fed(prompt: int, budget: int, block: int, refresh: int) -> list[int]:
    """L - |D_{i-2}| in step i of a block, one cell a step; L in steps 0 and 1 and in every refresh-th."""
    whole, cells = prompt + budget, []
    for b0 in range(prompt, whole, block):
        for i in range(block):
            known = b0 + i - 1  # D_{i-2}: what stood before the block, and i - 1 cells of it
            cells.append(whole if i < 2 or i % refresh == 0 else whole - known)
    return cells


def greedy_fed(prompt: int, budget: int, block: int, refresh: int, window: int) -> list[int]:
    """One cell just written, one to be written, and the window as far as there are holes for it."""
    whole, cells = prompt + budget, []
    for b0 in range(prompt, whole, block):
        for i in range(block):
            holes = whole - b0 - i - 1
            cells.append(whole if i % refresh == 0 else 2 + min(window, holes))
    return cells


@pytest.mark.parametrize("refresh", [1, 2, 3, 8])
@pytest.mark.parametrize("prompt, budget, block", [(1, 9, 9), (3, 12, 6), (2, 9, 3)])
def test_decode_feeds(prompt, budget, block, refresh):
    record = run("dkv_cache", ToyTwoWay(), [1] * prompt, budget, block, refresh=refresh)
    assert [a.cells for _, a in record.answers] == decode_fed(prompt, budget, block, refresh)


@pytest.mark.parametrize("refresh, window", [(1, 4), (2, 4), (4, 0), (4, 3), (50, 2)])
@pytest.mark.parametrize("prompt, budget, block", [(1, 9, 9), (3, 12, 6)])
def test_greedy_feeds(prompt, budget, block, refresh, window):
    given = {"variant": "greedy", "refresh": refresh, "window": window}
    record = run("dkv_cache", ToyTwoWay(), [1] * prompt, budget, block, **given)
    assert [a.cells for _, a in record.answers] == greedy_fed(prompt, budget, block, refresh, window)


def test_decode_on_a_model_feeds_the_same():
    two = net(Adapter(MASK))
    method = build("dkv_cache", {"refresh": 4}, Setting(vocab=two.vocab))
    (record,) = play([Request(Canvas([1, 2, 3], 12, mask=MASK, block=6), method, {"target": two})])
    assert [a.cells for _, a in record.answers] == decode_fed(3, 12, 6, 4)


def test_defaults():
    """LLaDA's interval is 8, greedy's 2 with 4 neighbours."""
    net = ToyTwoWay()
    cells = [a.cells for _, a in run("dkv_cache", net, [1], 12, 12).answers]
    assert cells == decode_fed(1, 12, 12, 8)
    cells = [a.cells for _, a in run("dkv_cache", net, [1], 12, 12, variant="greedy").answers]
    assert cells == greedy_fed(1, 12, 12, 2, 4)


@pytest.mark.parametrize("greedy", [True, False])
def test_computing_everything_each_step_is_no_cache(greedy):
    differ = 0
    for seed in range(8):
        net, case = ToyTwoWay(seed), {"greedy": greedy, "seed": seed}
        for then, given in (("static", {"then": "static"}), ("random_order", {"variant": "greedy"})):
            plain = run(then, net, [2, 0, 1], 8, 4, **case).texts
            assert run("dkv_cache", net, [2, 0, 1], 8, 4, refresh=1, **given, **case).texts == plain
            differ += run("dkv_cache", net, [2, 0, 1], 8, 4, refresh=9, **given, **case).texts != plain
    assert differ, "the cache never changed a text, so this shows nothing"


def test_a_token_is_kept_one_run_after_it_was_written():
    """The delay: the run after a commit reads what it wrote."""
    record = run("dkv_cache", ToyTwoWay(), [2, 0, 1], 6, 6)
    known = [set(range(3))]  # D_i
    for commit in record.commits:
        known.append(known[-1] | set(commit.at[0]))
    kept = [set(commit.keep[0]) if commit.keep else set() for commit in record.commits]
    assert kept == [set(), known[1], known[2], known[3], known[4], set()]


def test_greedy_order_is_a_function_of_the_seed_and_differs_between_seeds():
    def order(seed):
        canvas = Canvas([1], 8, mask=12, block=8)
        method = build("dkv_cache", {"variant": "greedy"}, Setting(vocab=13))
        (record,) = play([Request(canvas, method, {"target": ToyTwoWay()}, chance=Chance(seed))])
        return [commit.at[0][0] for commit in record.commits]

    assert order(1) == order(1)
    assert sorted(order(1)) == list(range(1, 9))
    assert len({tuple(order(seed)) for seed in range(5)}) == 5


def test_greedy_chooses_its_own_cells():
    with pytest.raises(UserError, match="leave one of the two out"):
        build("dkv_cache", {"variant": "greedy", "then": "static"}, Setting(vocab=13))
